# The monitor of programs in real mode. Handlers in real mode take the state down in low memory, and
# the rest is done in protected mode. Frames are recorded as 16-bit values, four in a word.

  .set REAL, 0x30000
  .set REAL_SEGMENT, 0x3000
  # Offsets in that segment: the record, OUT, and room for experiments.
  .set REAL_OUT, 0x800
  .set REAL_DATA, 0x1000

  .code32
prepare:
next_experiment:
  lgdt [gdt_pointer]
  ljmp CODE, offset 1f
1:
  mov eax, DATA_SEG
  mov ss, eax
  mov esp, MONITOR_STACK
  mov ds, eax
  mov es, eax
  mov fs, eax
  mov gs, eax
  push 2
  popfd
  mov eax, 0x400
  mov dr7, eax
  mov eax, 0xffff0ff0
  mov dr6, eax
  xor eax, eax
  mov dr0, eax
  mov cr2, eax
  mov eax, 0x50033
  mov cr0, eax
  mov eax, 0x600
  mov cr4, eax
  mov ecx, 0xc0000080
  xor eax, eax
  xor edx, edx
  wrmsr
  cld
  mov edi, REAL
  mov ecx, 0x800
  rep stosd
  mov edi, LOW + 0x8000
  mov ecx, 0x2000
  rep stosd
  mov edi, GDT
  mov ecx, 0x1000
  rep stosd
  xor edi, edi
  mov eax, offset stubs + (LOW_SEGMENT << 16)
  mov ecx, 256
1:
  stosd
  add eax, 8
  loop 1b
  xor eax, eax
  mov [LOW + trace_left], eax
  fninit
  mov ebx, [STATE + 4]
  cmp ebx, offset experiment_count
  jae finished
  mov ebx, [experiments + ebx * 8]
  mov [LOW + entry], bx
  ljmp CODE16, offset to_real

finished:
  mov eax, 0x31
  out PORT_END, al
1:
  cli
  hlt
  jmp 1b

# From a handler in real mode: completes the record, and goes on to the next experiment.
arrived32:
  mov eax, DATA_SEG
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov esp, MONITOR_STACK
  cld
  mov esi, REAL
  mov edi, RECORD
  mov ecx, RECORD_BYTES / 4
  rep movsd
  .irp number, 2, 3, 4
  mov eax, cr\number
  mov [RECORD + R_cr\number], eax
  .endr
  .irp number, 6, 7
  mov eax, dr\number
  mov [RECORD + R_dr\number], eax
  .endr
  mov esi, REAL + REAL_OUT
  mov edi, RECORD + R_out
  mov ecx, 16
  rep movsd
  call emit32
  inc dword ptr [STATE + 4]
  jmp next_experiment

gdt_pointer:
  .word 0x7f
  .long gdt_template
  .balign 8
gdt_template:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0
  .quad 0x00009b000000ffff + (LOW << 16)
  .quad 0, 0, 0, 0, 0, 0
  .quad 0x000093000000ffff
  .quad 0, 0, 0, 0

  .section .low, "ax"
  .code16
to_real:
  mov ax, DATA16
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ss, ax
  mov eax, cr0
  and eax, ~1
  mov cr0, eax
  ljmp LOW_SEGMENT, offset 1f
1:
  data32 lidt cs:[real_idt]
  mov ax, REAL_SEGMENT
  mov ds, ax
  mov es, ax
  mov fs, ax
  mov gs, ax
  mov ax, LOW_SEGMENT
  mov ss, ax
  mov esp, 0xff00
  pushd 2
  popfd
  mov eax, 0x0a0a0a0a
  mov ecx, 0x0a1a1a1a
  mov edx, 0x0a2a2a2a
  mov ebx, 0x0a3a3a3a
  mov ebp, 0x0a5a5a5a
  mov esi, 0x0a6a6a6a
  mov edi, 0x0a7a7a7a
  jmp word ptr cs:[entry]

real_idt:
  .word 0x3ff
  .long 0
low_gdt:
  .word 0x7f
  .long gdt_template
entry: .word 0
trace_left: .word 0
resume_at: .word 0

  .balign 8
stubs:
  .set n, 0
  .rept 256
  .byte 0x68
  .word n
  jmp arrived
  .balign 8
  .set n, n + 1
  .endr

arrived:
  push ds
  push eax
  mov ax, REAL_SEGMENT
  mov ds, ax
  pop dword ptr [R_gpr]
  pop word ptr [R_selectors + 4]
  pop word ptr [R_vector]
  mov [R_gpr + 8], ecx
  mov [R_gpr + 16], edx
  mov [R_gpr + 24], ebx
  mov [R_gpr + 32], esp
  mov [R_gpr + 40], ebp
  mov [R_gpr + 48], esi
  mov [R_gpr + 56], edi
  mov [R_pointer], esp
  pushfd
  pop dword ptr [R_flags]
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7
  pop word ptr [R_frame + 2 * \number]
  .endr
  mov esp, [R_pointer]
  mov [R_selectors], cs
  mov [R_selectors + 2], ss
  mov [R_selectors + 6], es
  mov [R_moreSelectors], fs
  mov [R_moreSelectors + 2], gs
  mov eax, cr0
  mov [R_cr0], eax
  cmp word ptr [R_vector], DONE_VECTOR
  je 3f
  cmp word ptr cs:[trace_left], 0
  je 1f
  cmp word ptr [R_vector], 1
  je 2f
  cmp word ptr [R_vector], 3
  je 2f
1:
  mov ax, cs:[resume_at]
  test ax, ax
  jz 3f
  mov word ptr cs:[resume_at], 0
  mov bp, sp
  mov [bp], ax
2:
  # Noted in a word of OUT: vector, instruction pointer, flags, DR6; and on.
  mov bx, cs:[trace_left]
  dec word ptr cs:[trace_left]
  and bx, 7
  shl bx, 3
  mov al, [R_vector]
  mov ah, [R_flags]
  mov [REAL_OUT + bx], ax
  mov ax, [R_frame]
  mov [REAL_OUT + 2 + bx], ax
  mov ax, [R_frame + 4]
  mov [REAL_OUT + 4 + bx], ax
  mov eax, dr6
  mov [REAL_OUT + 6 + bx], ax
  mov eax, 0xffff0ff0
  mov dr6, eax
  mov eax, [R_gpr]
  mov ebx, [R_gpr + 24]
  mov ebp, [R_gpr + 40]
  mov ds, [R_selectors + 4]
  iret
3:
  data32 lgdt cs:[low_gdt]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  data32 ljmp CODE, offset arrived32

  .macro FINISH
  int DONE_VECTOR
  .endm
  .macro TRACE count
  mov word ptr cs:[trace_left], \count
  .endm
  .macro RESUME at
  mov word ptr cs:[resume_at], offset \at
  .endm
