# Entry points of the benchmark image, which lies at 1 MiB: the first is a PVH start in 32-bit
# protected mode (QEMU's -kernel, and our processor), the one 16 bytes later is a C function for
# a process that has mapped the image there.
#
# The PVH start switches to long mode with an identity mapping of the first GiB in 2 MiB pages,
# turns SSE on, and calls main with the address of the start info.

  .section .note.Xen, "a", @note
  .long 4, 4, 18
  .asciz "Xen"
  .long start

  .section .head, "ax"
  .code32
  .globl start
start:
  jmp prepare
  .balign 16
  .code64
  jmp run

  .code32
prepare:
  cli
  movl $pdpt + 3, pml4
  movl $pd + 3, pdpt
  movl $pd, %edi
  movl $0x83, %eax
  movl $512, %ecx
1:
  movl %eax, (%edi)
  addl $0x200000, %eax
  addl $8, %edi
  loop 1b
  movl $0x620, %eax
  movl %eax, %cr4
  movl $pml4, %eax
  movl %eax, %cr3
  movl $0xc0000080, %ecx
  movl $0x100, %eax
  xorl %edx, %edx
  wrmsr
  movl $0x80010033, %eax
  movl %eax, %cr0
  lgdt gdt_pointer
  ljmp $8, $long_mode

  .code64
long_mode:
  movl $16, %eax
  movl %eax, %ds
  movl %eax, %es
  movl %eax, %ss
  leaq stack_top, %rsp
  movl %ebx, %edi
  call main
1:
  hlt
  jmp 1b

  .balign 8
gdt:
  .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
  .word gdt_pointer - gdt - 1
  .long gdt

  .section .tables, "aw", @nobits
  .balign 4096
pml4: .skip 4096
pdpt: .skip 4096
pd: .skip 4096
  .skip 65536
stack_top:

  .section .note.GNU-stack, "", @progbits
