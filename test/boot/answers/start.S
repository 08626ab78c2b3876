# The way into answers.c: from where a PVH guest begins, 32-bit protected mode without paging, into
# long mode with 4 GiB of identity mapping. The first 2 MiB are left out, so that address 0 is bad.

  .set HUGE_PAGE, 0x87
  .set TABLE, 0x07
  .set CR0_PG_PE, 0x80000001
  .set CR4_PAE, 0x20
  .set EFER, 0xc0000080
  .set EFER_LME, 0x100

  .section .note.Xen, "a", @note
  .balign 4
  .long 4, 4, 18 # XEN_ELFNOTE_PHYS32_ENTRY
  .asciz "Xen"
  .long start

  .section .text.start, "ax"
  .code32
  .globl start
start:
  cld
  movl $directory_pointers + TABLE, top
  movl $directories + TABLE, directory_pointers
  movl $directories + 0x1000 + TABLE, directory_pointers + 8
  movl $directories + 0x2000 + TABLE, directory_pointers + 16
  movl $directories + 0x3000 + TABLE, directory_pointers + 24
  mov $directories + 8, %edi
  mov $0x200000 + HUGE_PAGE, %eax
1:
  mov %eax, (%edi)
  add $0x200000, %eax
  add $8, %edi
  cmp $directories + 0x4000, %edi
  jne 1b

  mov $top, %eax
  mov %eax, %cr3
  mov %cr4, %eax
  or $CR4_PAE, %eax
  mov %eax, %cr4
  mov $EFER, %ecx
  rdmsr
  or $EFER_LME, %eax
  wrmsr
  mov %cr0, %eax
  or $CR0_PG_PE, %eax
  mov %eax, %cr0
  lgdt descriptor_table
  ljmp $8, $1f

  .code64
1:
  mov $16, %eax
  mov %eax, %ds
  mov %eax, %es
  mov %eax, %ss
  mov $stack_end, %rsp
  call answers
1:
  hlt
  jmp 1b

  .data
  .balign 8
descriptors:
  .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
descriptor_table:
  .word descriptor_table - descriptors - 1
  .long descriptors

  .bss
  .balign 4096
top:
  .fill 0x1000
directory_pointers:
  .fill 0x1000
directories:
  .fill 0x4000
stack:
  .fill 0x4000
stack_end:

  .section .note.GNU-stack, "", @progbits
