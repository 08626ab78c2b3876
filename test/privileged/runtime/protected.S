# The monitor of programs in 32-bit protected mode, without paging: as long.S, with what that mode
# has besides, tasks and virtual-8086 mode. Frames are recorded as doublewords, two in a word.

  .macro SET_MSR number, high, low
  mov ecx, \number
  mov edx, \high
  mov eax, \low
  wrmsr
  .endm
  .macro GET_MSR number, to
  mov ecx, \number
  rdmsr
  mov [RECORD + \to], eax
  mov [RECORD + \to + 4], edx
  .endm

  .code32
prepare:
  # Page tables for experiments that turn paging on: 16 MiB of identity in 4 MiB pages, the local
  # APIC, and the window in small pages; the same for PAE in 2 MiB pages.
  mov edi, TABLES
  xor eax, eax
  mov ecx, (TABLES_END - TABLES) / 4
  rep stosd
  mov dword ptr [PD32], 0x000087
  mov dword ptr [PD32 + 4], 0x400087
  mov dword ptr [PD32 + 8], 0x800087
  mov dword ptr [PD32 + 12], 0xc00087
  mov dword ptr [PD32 + 4 * 192], LAPIC - 0x200000 + 0x83
  mov dword ptr [PD32 + 4 * 256], PT32 + 7
  mov edi, PT32
  mov eax, FRAMES + 7
  mov ecx, 8
1:
  stosd
  add eax, 0x1000
  loop 1b
  mov dword ptr [PDPT], PD + 1
  mov dword ptr [PDPT + 8], WINDOW_PD + 1
  mov edi, PD
  mov eax, 0x87
  mov ecx, 8
1:
  mov [edi], eax
  add edi, 8
  add eax, 0x200000
  loop 1b
  mov dword ptr [PD + 8 * 384], LAPIC + 0x83
  mov dword ptr [WINDOW_PD], WINDOW_PT + 7
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
  add edi, 8
  add eax, 16
  inc ecx
  cmp ecx, 256
  jne 1b
  mov byte ptr [idt_template + 3 * 8 + 5], 0xee
  mov byte ptr [idt_template + 4 * 8 + 5], 0xee
  mov byte ptr [idt_template + DONE_VECTOR * 8 + 5], 0xee
  mov byte ptr [idt_template + OPEN * 8 + 5], 0xee
  mov byte ptr [idt_template + OPEN_TRAP * 8 + 5], 0xef
  lgdt [first_gdt_pointer]

# Restores all that an experiment may have touched, and starts the next one.
next_experiment:
  mov eax, DATA_SEG
  mov ss, eax
  mov esp, MONITOR_STACK
  mov ds, eax
  mov es, eax
  push 2
  popfd
  mov eax, 0x400
  mov dr7, eax
  xor eax, eax
  mov dr0, eax
  mov dr1, eax
  mov dr2, eax
  mov dr3, eax
  mov cr2, eax
  mov eax, 0xffff0ff0
  mov dr6, eax
  mov eax, 0x50033
  mov cr0, eax
  mov eax, 0x600
  mov cr4, eax
  mov eax, PD32
  mov cr3, eax
  mov ecx, 0xc0000080
  mov eax, 0x801
  xor edx, edx
  wrmsr
  cld
  mov esi, TABLES_COPY
  mov edi, TABLES
  mov ecx, (TABLES_END - TABLES) / 4
  rep movsd
  xor eax, eax
  mov edi, FRAMES
  mov ecx, (FRAMES_END - FRAMES) / 4
  rep stosd
  mov edi, GDT
  mov ecx, (RSP1 + 0x40 - GDT) / 4
  rep stosd
  mov edi, LOW + 0x8000
  mov ecx, 0x2000
  rep stosd
  mov esi, offset gdt_template
  mov edi, GDT
  mov ecx, (gdt_template_end - gdt_template) / 4
  rep movsd
  mov esi, offset idt_template
  mov edi, IDT
  mov ecx, 512
  rep movsd
  mov dword ptr [TSS + 4], RSP0
  mov dword ptr [TSS + 8], DATA_SEG
  mov dword ptr [TSS + 12], RSP1
  mov dword ptr [TSS + 16], FREE2 + 1
  mov dword ptr [TSS + 28], PD32
  mov word ptr [TSS + 102], 0x68
  mov esi, offset tss2_template
  mov edi, TSS2
  mov ecx, 26
  rep movsd
  SET_MSR 0xc0000081, 0x00280008, "offset syscall32"
  SET_MSR 0x174, 0, CODE
  SET_MSR 0x175, 0, STACK
  SET_MSR 0x176, 0, "offset sysenter32"
  lgdt [gdt_pointer]
  lidt [idt_pointer]
  ljmp CODE, offset 1f
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
  mov dword ptr [trace_left], 0
  mov dword ptr [logging], 0
  mov dword ptr [logged], 0
  mov dword ptr [resume_at], 0
  mov ebx, [STATE + 4]
  cmp ebx, offset experiment_count
  jae finished
  mov ebx, [experiments + ebx * 8]
  mov [entry], ebx
  mov esp, STACK
  push 2
  popfd
  mov eax, 0x0a0a0a0a
  mov ecx, 0x0a1a1a1a
  mov edx, 0x0a2a2a2a
  mov ebx, 0x0a3a3a3a
  mov ebp, 0x0a5a5a5a
  mov esi, 0x0a6a6a6a
  mov edi, 0x0a7a7a7a
  jmp [entry]

finished:
  mov eax, 0x31
  out PORT_END, al
1:
  cli
  hlt
  jmp 1b

# Where SYSCALL, SYSENTER and a switch to the second task go: recorded as vectors of their own.
syscall32:
  push 0x1f1
  jmp arrived
sysenter32:
  push 0x1f2
  jmp arrived
task_entry:
  push 0x200
  jmp arrived
task_entry3:
  push 0x201
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

# A vector is on the stack, and above it what the processor pushed. The stack may be any.
arrived:
  push ds
  push eax
  mov eax, DATA_SEG
  mov ds, eax
  pop dword ptr [RECORD + R_gpr]
  pop dword ptr [RECORD + R_selectors + 4]
  pop dword ptr [RECORD + R_vector]
  mov [RECORD + R_gpr + 8], ecx
  mov [RECORD + R_gpr + 16], edx
  mov [RECORD + R_gpr + 24], ebx
  mov [RECORD + R_gpr + 32], esp
  mov [RECORD + R_gpr + 40], ebp
  mov [RECORD + R_gpr + 48], esi
  mov [RECORD + R_gpr + 56], edi
  mov [RECORD + R_pointer], esp
  pushfd
  pop dword ptr [RECORD + R_flags]
  .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
  pop dword ptr [RECORD + R_frame + 4 * \number]
  .endr
  mov esp, [RECORD + R_pointer]
  mov [RECORD + R_selectors], cs
  mov [RECORD + R_selectors + 2], ss
  mov [RECORD + R_selectors + 6], es
  mov [RECORD + R_moreSelectors], fs
  mov [RECORD + R_moreSelectors + 2], gs
  str [RECORD + R_moreSelectors + 4]
  sldt [RECORD + R_moreSelectors + 6]
  .irp number, 0, 2, 3, 4
  mov eax, cr\number
  mov [RECORD + R_cr\number], eax
  .endr
  .irp number, 6, 7
  mov eax, dr\number
  mov [RECORD + R_dr\number], eax
  .endr
  mov eax, 0x400
  mov dr7, eax
  .irp number, 8, 9, 10, 11, 12, 13, 14, 15
  mov dword ptr [RECORD + R_gpr + 8 * \number], 0
  .endr
  GET_MSR 0xc0000080, R_efer
  GET_MSR 0xc0000100, R_fsBase
  GET_MSR 0xc0000101, R_gsBase
  mov eax, [TSS2]
  mov [RECORD + R_kernelGsBase], eax
  cld
  mov eax, DATA_SEG
  mov es, eax
  mov esi, TSS + 32
  cmp dword ptr [RECORD + R_vector], 0x200
  je 2f
  mov esi, TSS2 + 32
  cmp dword ptr [RECORD + R_vector], 0x201
  jne 1f
2:
  # What the task before was saved as.
  mov edi, OUT
  mov ecx, 16
  rep movsd
1:
  mov esi, OUT
  mov edi, RECORD + R_out
  mov ecx, 16
  rep movsd
  mov dword ptr [RECORD + R_vector + 4], 0
  mov eax, [RECORD + R_vector]
  cmp dword ptr [trace_left], 0
  je 1f
  cmp eax, 1
  je traced
  cmp eax, 3
  je traced
1:
  cmp eax, DONE_VECTOR
  je 1f
  cmp dword ptr [resume_at], 0
  jne resumed
1:
  mov eax, DATA_SEG
  mov ss, eax
  mov esp, MONITOR_STACK
  call emit32
  inc dword ptr [STATE + 4]
  jmp next_experiment

# A debug trap or breakpoint of an experiment that goes on after it.
traced:
  mov dword ptr [RECORD + R_vector + 4], 1
  dec dword ptr [trace_left]
  mov eax, 0xffff0ff0
  mov dr6, eax
  or dword ptr ss:[esp + 8], 0x10000
  call emit32
  jmp restore

# A fault of an experiment that goes on elsewhere: recorded, or noted in a word of OUT.
resumed:
  mov dword ptr [RECORD + R_vector + 4], 1
  xor ebx, ebx
  cmp eax, 32
  jae 1f
  bt dword ptr [with_error_code], eax
  jnc 1f
  pop ebx
1:
  mov ecx, [resume_at]
  mov ss:[esp], ecx
  mov dword ptr [resume_at], 0
  cmp dword ptr [logging], 0
  je 2f
  mov ecx, cr2
  rol ecx, 16
  xor ebx, ecx
  mov ecx, [logged]
  inc dword ptr [logged]
  and ecx, 7
  rol dword ptr [OUT + ecx * 8], 5
  xor [OUT + ecx * 8], ebx
  rol dword ptr [OUT + ecx * 8 + 4], 5
  xor [OUT + ecx * 8 + 4], eax
  jmp restore
2:
  call emit32

restore:
  mov eax, [RECORD + R_dr7]
  mov dr7, eax
  mov ecx, [RECORD + R_gpr + 8]
  mov edx, [RECORD + R_gpr + 16]
  mov ebx, [RECORD + R_gpr + 24]
  mov ebp, [RECORD + R_gpr + 40]
  mov esi, [RECORD + R_gpr + 48]
  mov edi, [RECORD + R_gpr + 56]
  mov es, [RECORD + R_selectors + 6]
  mov eax, [RECORD + R_selectors + 4]
  push eax
  mov eax, [RECORD + R_gpr]
  pop ds
  iretd

  .balign 16
entry: .long 0
resume_at: .long 0
trace_left: .long 0
logging: .long 0
logged: .long 0
with_error_code: .long 0x27d00
first_gdt_pointer:
  .word LIMITS
  .long gdt_template
gdt_pointer:
  .word LIMITS
  .long GDT
idt_pointer:
  .word 0x7ff
  .long IDT
  .balign 8
gdt_template:
  .quad 0
  .quad 0x00cf9b000000ffff
  .quad 0x00cf93000000ffff
  .quad 0
  .quad 0x00009b000000ffff + (LOW << 16)
  .quad 0x00cffb000000ffff
  .quad 0x00cff3000000ffff
  .quad 0
  .quad 0x0000890000000167 + ((TSS & 0xffffff) << 16)
  .quad 0
  .quad 0x0000fb000000ffff + (LOW << 16)
  .quad 0x000093000000ffff + (LOW << 16)
  .quad 0x00008200000000ff + ((LDT & 0xffffff) << 16)
  .quad 0
  .quad 0x0000890000000067 + ((TSS2 & 0xffffff) << 16)
  .quad 0
gdt_template_end:
  .balign 16
idt_template:
  .skip 2048
tss2_template:
  .long 0, IST1, DATA_SEG, 0, 0, 0, 0, PD32, task_entry, 2
  .long 0xe0, 0xe1, 0xe2, 0xe3, IST2, 0xe5, 0xe6, 0xe7
  .long DATA_SEG, CODE, DATA_SEG, DATA_SEG, 0, 0, 0, 0x680000

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
  mov dword ptr [resume_at], offset \at
  .endm
# Gives the faults of segment registers to a third task, which needs nothing of the second.
  .macro THIRD_TASK
  mov esi, offset tss2_template
  mov edi, DATA
  mov ecx, 26
  rep movsd
  mov dword ptr [DATA + 32], offset task_entry3
  mov dword ptr [DATA + 56], USER_STACK
  DESCRIBE FREE3, 0x60000067, 0x8920
  .irp vector, 10, 11, 12, 13
  GATE \vector, FREE3 << 16, 0x8500
  .endr
  .endm
  .macro USER
  push USER_DATA
  push USER_STACK
  push 2
  push USER32
  push offset 700f
  iretd
700:
  push USER_DATA
  pop ds
  push USER_DATA
  pop es
  .endm
  .macro PAGING
  mov eax, 0x610
  mov cr4, eax
  mov eax, 0x80050033
  mov cr0, eax
  .endm
  .macro PAE_PAGING
  mov eax, 0x620
  mov cr4, eax
  mov eax, PDPT
  mov cr3, eax
  mov eax, 0x80050033
  mov cr0, eax
  .endm
  .macro DESCRIBE selector, low, high
  mov dword ptr [GDT + (\selector & 0xfff8)], \low
  mov dword ptr [GDT + (\selector & 0xfff8) + 4], \high
  .endm
  .macro GATE vector, low, high
  mov dword ptr [IDT + 8 * \vector], \low
  mov dword ptr [IDT + 8 * \vector + 4], \high
  .endm
