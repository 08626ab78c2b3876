# The monitor of long-mode programs: puts everything in order, runs an experiment, and when an
# exception or interrupt arrives records the state and goes on to the next.

  .code32
prepare:
  # Identity mapping of 16 MiB: 4 KiB pages for the first 4, then 2 MiB pages; alias; window.
  mov edi, TABLES
  xor eax, eax
  mov ecx, (TABLES_END - TABLES) / 4
  rep stosd
  mov dword ptr [PML4], PDPT + 7
  mov dword ptr [PDPT], PD + 7
  mov dword ptr [PDPT + 8], WINDOW_PD + 7
  mov dword ptr [PD + 8 * 384], LAPIC + 0x83
  mov dword ptr [WINDOW_PD], WINDOW_PT + 7
  mov edi, PT
  mov eax, 3
  mov ecx, 1024
1:
  mov [edi], eax
  add edi, 8
  add eax, 0x1000
  loop 1b
  mov dword ptr [PD], PT + 7
  mov dword ptr [PD + 8], PT + 0x1000 + 7
  mov edi, PD + 16
  mov eax, 0x400083
  mov ecx, 6
1:
  mov [edi], eax
  add edi, 8
  add eax, 0x200000
  loop 1b
  mov edi, PD + 8 * 256
  mov eax, 0x87
  mov ecx, 4
1:
  mov [edi], eax
  add edi, 8
  add eax, 0x200000
  loop 1b
  mov edi, WINDOW_PT
  mov eax, FRAMES + 7
  mov ecx, 8
1:
  mov [edi], eax
  add edi, 8
  add eax, 0x1000
  loop 1b
  mov esi, TABLES
  mov edi, TABLES_COPY
  mov ecx, (TABLES_END - TABLES) / 4
  rep movsd
  # 256 interrupt gates, of which some are open to the user.
  mov edi, offset idt_template
  mov eax, offset stubs
  xor ecx, ecx
1:
  mov edx, eax
  mov [edi], dx
  mov word ptr [edi + 2], CODE
  mov dx, 0x8e00
  mov [edi + 4], edx
  add edi, 16
  add eax, 16
  inc ecx
  cmp ecx, 256
  jne 1b
  mov byte ptr [idt_template + 3 * 16 + 5], 0xee
  mov byte ptr [idt_template + 4 * 16 + 5], 0xee
  mov byte ptr [idt_template + DONE_VECTOR * 16 + 5], 0xee
  mov byte ptr [idt_template + OPEN * 16 + 5], 0xee
  mov byte ptr [idt_template + OPEN_TRAP * 16 + 5], 0xef
  mov byte ptr [idt_template + 8 * 16 + 4], 1

  mov eax, 0x6a0
  mov cr4, eax
  mov eax, PML4
  mov cr3, eax
  mov ecx, 0xc0000080
  rdmsr
  or eax, 0x900
  wrmsr
  mov eax, 0x80050033
  mov cr0, eax
  lgdt [first_gdt_pointer]
  ljmp CODE, offset 1f
  .code64
1:
  jmp next_experiment

# Restores all that an experiment may have touched, and starts the next one.
  .macro SET_MSR number, value
  mov ecx, \number
  mov rax, \value
  mov rdx, rax
  shr rdx, 32
  wrmsr
  .endm

next_experiment:
  mov rsp, MONITOR_STACK
  xor eax, eax
  mov cr8, rax
  mov cr2, rax
  mov rax, 0x400
  mov dr7, rax
  xor eax, eax
  mov dr0, rax
  mov dr1, rax
  mov dr2, rax
  mov dr3, rax
  mov eax, 0xffff0ff0
  mov dr6, rax
  mov eax, 0x80050033
  mov cr0, rax
  cld
  mov esi, TABLES_COPY
  mov edi, TABLES
  mov ecx, (TABLES_END - TABLES) / 8
  rep movsq
  xor eax, eax
  mov edi, FRAMES
  mov ecx, (FRAMES_END - FRAMES) / 8
  rep stosq
  mov edi, GDT
  mov ecx, (RSP0 + 0x40 - 0x1000 - GDT) / 8
  rep stosq
  mov edi, RSP0 + 0x40 - 0x1000
  mov ecx, (RSP1 + 0x40 - RSP0 - 0x40 + 0x1000) / 8
  rep stosq
  mov edi, LOW + 0x8000
  mov ecx, 0x1000
  rep stosq
  mov esi, offset gdt_template
  mov edi, GDT
  mov ecx, (gdt_template_end - gdt_template) / 8
  rep movsq
  mov esi, offset idt_template
  mov edi, IDT
  mov ecx, 512
  rep movsq
  mov dword ptr [TSS + 4], RSP0
  mov dword ptr [TSS + 12], RSP1
  mov dword ptr [TSS + 36], IST1
  mov dword ptr [TSS + 44], IST2
  mov word ptr [TSS + 102], 0x68
  SET_MSR 0xc0000080, 0xd01
  SET_MSR 0xc0000081, 0x0028000800000000
  SET_MSR 0xc0000082, "offset syscall64"
  SET_MSR 0xc0000083, "offset syscall32"
  SET_MSR 0xc0000084, 0x700
  SET_MSR 0xc0000100, 0
  SET_MSR 0xc0000101, 0
  SET_MSR 0xc0000102, 0x12345000
  SET_MSR 0x174, 0
  mov eax, 0x6a0
  mov cr4, rax
  mov eax, PML4
  mov cr3, rax
  mov eax, 0x620
  mov cr4, rax
  mov eax, 0x6a0
  mov cr4, rax
  lgdt [gdt_pointer]
  lidt [idt_pointer]
  pushq CODE
  pushq offset 1f
  rex.w retf
1:
  mov eax, DATA_SEG
  mov ss, eax
  mov ds, eax
  mov es, eax
  xor eax, eax
  mov fs, eax
  mov gs, eax
  lldt ax
  mov eax, TSS_SEL
  ltr ax
  fninit
  mov dword ptr [APIC + 0xf0], 0x1ff
  mov dword ptr [APIC + 0xb0], 0
  mov dword ptr [trace_left], 0
  mov dword ptr [logging], 0
  mov dword ptr [logged], 0
  mov qword ptr [resume_at], 0
  mov ebx, [STATE + 4]
  cmp ebx, offset experiment_count
  jae finished
  mov rbx, [experiments + rbx * 8]
  mov [entry], rbx
  mov rsp, STACK
  pushq 2
  popfq
  mov rax, 0xa0a0a0a000000a0a
  mov rcx, 0xa1a1a1a100000a1a
  mov rdx, 0xa2a2a2a200000a2a
  mov rbx, 0xa3a3a3a300000a3a
  mov rbp, 0xa5a5a5a500000a5a
  mov rsi, 0xa6a6a6a600000a6a
  mov rdi, 0xa7a7a7a700000a7a
  mov r8, 0xa8
  mov r9, 0xa9
  mov r10, 0xaa
  mov r11, 0xab
  mov r12, 0xac
  mov r13, 0xad
  mov r14, 0xae
  mov r15, 0xaf
  jmp [entry]

finished:
  mov eax, 0x31
  out PORT_END, al
1:
  cli
  hlt
  jmp 1b

# Where SYSCALL goes: recorded as vectors of their own.
syscall64:
  push 0x1f0
  jmp arrived
syscall32:
  push 0x1f1
  jmp arrived

  .balign 16
stubs:
  .set n, 0
  .rept 256
  .byte 0x68
  .long n
  jmp arrived
  .balign 16
  .set n, n + 1
  .endr

# A vector is on the stack, and above it what the processor pushed.
arrived:
  mov [RECORD + R_gpr], rax
  mov [RECORD + R_gpr + 8], rcx
  mov [RECORD + R_gpr + 16], rdx
  mov [RECORD + R_gpr + 24], rbx
  mov [RECORD + R_gpr + 40], rbp
  mov [RECORD + R_gpr + 48], rsi
  mov [RECORD + R_gpr + 56], rdi
  .irp number, 8, 9, 10, 11, 12, 13, 14, 15
  mov [RECORD + R_gpr + 8 * \number], r\number
  .endr
  pushfq
  pop rax
  mov [RECORD + R_flags], rax
  mov rax, [rsp]
  mov [RECORD + R_vector], rax
  lea rax, [rsp + 8]
  mov [RECORD + R_pointer], rax
  mov [RECORD + R_gpr + 32], rax
  .irp number, 0, 2, 3, 4
  mov rax, cr\number
  mov [RECORD + R_cr\number], rax
  .endr
  .irp number, 6, 7
  mov rax, dr\number
  mov [RECORD + R_dr\number], rax
  .endr
  mov eax, 0x400
  mov dr7, rax
  .macro GET_MSR number, to
  mov ecx, \number
  rdmsr
  mov [RECORD + \to], eax
  mov [RECORD + \to + 4], edx
  .endm
  GET_MSR 0xc0000080, R_efer
  GET_MSR 0xc0000100, R_fsBase
  GET_MSR 0xc0000101, R_gsBase
  GET_MSR 0xc0000102, R_kernelGsBase
  mov [RECORD + R_selectors], cs
  mov [RECORD + R_selectors + 2], ss
  mov [RECORD + R_selectors + 4], ds
  mov [RECORD + R_selectors + 6], es
  mov [RECORD + R_moreSelectors], fs
  mov [RECORD + R_moreSelectors + 2], gs
  str [RECORD + R_moreSelectors + 4]
  sldt [RECORD + R_moreSelectors + 6]
  cld
  mov edi, RECORD + R_frame
  mov ecx, 8
  lea rsi, [rsp + 8]
  mov rax, rsi
  shr rax, 20
  sub rax, 2
  cmp rax, 4
  jae 1f
  rep movsq
1:
  xor eax, eax
  rep stosq
  mov esi, OUT
  mov edi, RECORD + R_out
  mov ecx, 8
  rep movsq
  mov rax, [rsp]
  cmp dword ptr [trace_left], 0
  je 1f
  cmp eax, 1
  je traced
  cmp eax, 3
  je traced
1:
  cmp eax, DONE_VECTOR
  je 1f
  cmp qword ptr [resume_at], 0
  jne resumed
1:
  call emit64
  inc dword ptr [STATE + 4]
  jmp next_experiment

emit64:
  EMIT

# A debug trap or breakpoint of an experiment that goes on after it.
traced:
  mov dword ptr [RECORD + R_vector + 4], 1
  dec dword ptr [trace_left]
  mov rax, 0xffff0ff0
  mov dr6, rax
  or dword ptr [rsp + 24], 0x10000
  call emit64
  call restore
  add rsp, 8
  iretq

# A fault of an experiment that goes on elsewhere: recorded, or noted in a word of OUT.
resumed:
  mov dword ptr [RECORD + R_vector + 4], 1
  mov ebx, eax
  cmp eax, 32
  jae 1f
  bt dword ptr [with_error_code], eax
  jnc 1f
  shl rax, 32
  or rax, [rsp + 8]
  mov rbx, rax
  add rsp, 8
1:
  mov rax, [resume_at]
  mov [rsp + 8], rax
  mov qword ptr [resume_at], 0
  cmp dword ptr [logging], 0
  je 2f
  mov rax, cr2
  shl rax, 16
  or rbx, rax
  mov eax, [logged]
  inc dword ptr [logged]
  and eax, 7
  rol qword ptr [OUT + rax * 8], 9
  xor [OUT + rax * 8], rbx
  jmp 3f
2:
  call emit64
3:
  call restore
  add rsp, 8
  iretq

restore:
  mov rax, [RECORD + R_dr7]
  mov dr7, rax
  .irp number, 8, 9, 10, 11, 12, 13, 14, 15
  mov r\number, [RECORD + R_gpr + 8 * \number]
  .endr
  mov rax, [RECORD + R_gpr]
  mov rcx, [RECORD + R_gpr + 8]
  mov rdx, [RECORD + R_gpr + 16]
  mov rbx, [RECORD + R_gpr + 24]
  mov rbp, [RECORD + R_gpr + 40]
  mov rsi, [RECORD + R_gpr + 48]
  mov rdi, [RECORD + R_gpr + 56]
  ret

  .balign 16
entry: .quad 0
resume_at: .quad 0
trace_left: .long 0
logging: .long 0
logged: .long 0
with_error_code: .long 0x27d00
first_gdt_pointer:
  .word LIMITS
  .quad gdt_template
gdt_pointer:
  .word LIMITS
  .quad GDT
idt_pointer:
  .word 0xfff
  .quad IDT
  .balign 8
gdt_template:
  .quad 0
  .quad 0x00af9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0x00cf9b000000ffff
  .quad 0x008f9b000000ffff
  .quad 0x00cffb000000ffff
  .quad 0x00cff3000000ffff
  .quad 0x00affb000000ffff
  .quad 0x00008b0000000167 + ((TSS & 0xffffff) << 16) - 0x20000000000
  .quad 0
  .quad 0x008ffb000000ffff
  .quad 0x000093000000ffff
  .quad 0x00008200000000ff + ((LDT & 0xffffff) << 16)
  .quad 0
  .quad 0x0000890000000067 + ((TSS2 & 0xffffff) << 16)
  .quad 0
gdt_template_end:
  .balign 16
idt_template:
  .skip 4096

# Macros of experiments.
  .macro FINISH
  int DONE_VECTOR
  .endm
  .macro TRACE count
  mov dword ptr [trace_left], \count
  .endm
  .macro LOG
  mov dword ptr [logging], 1
  .endm
  .macro RESUME at
  mov qword ptr [resume_at], offset \at
  .endm
  .macro USER_RESUME at
  mov qword ptr [resume_at + ALIAS], offset \at + ALIAS
  .endm
  .macro SYSRETQ
  .byte 0x48, 0x0f, 0x07
  .endm
  .macro SYSRETD
  .byte 0x0f, 0x07
  .endm
  .macro SYSEXITD
  .byte 0x0f, 0x35
  .endm
  .macro TO_USER code, where
  pushq USER_DATA
  pushq USER_STACK + ALIAS
  pushq 2
  pushq \code
  pushq \where
  iretq
  .endm
  .macro USER64
  TO_USER USER64, "offset 700f + ALIAS"
700:
  .endm
  .macro USER32
  TO_USER USER32, "offset 700f + ALIAS"
700:
  .code32
  push USER_DATA
  pop ds
  push USER_DATA
  pop es
  .endm
  .macro KERNEL32
  pushq CODE32
  pushq offset 700f
  rex.w retf
700:
  .code32
  .endm
  .macro DESCRIBE selector, low, high
  mov dword ptr [GDT + (\selector & 0xfff8)], \low
  mov dword ptr [GDT + (\selector & 0xfff8) + 4], \high
  .endm
  .macro GATE vector, low, high
  mov dword ptr [IDT + 16 * \vector], \low
  mov dword ptr [IDT + 16 * \vector + 4], \high
  .endm
  .macro MAP page, low, high=0
  mov dword ptr [WINDOW_PT + 8 * \page], \low
  mov dword ptr [WINDOW_PT + 8 * \page + 4], \high
  .endm
