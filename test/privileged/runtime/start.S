# The beginning of every program: entered in 32-bit protected mode without paging, as PVH says.
# Finds out whether this is the first start or a reset, which is how a shutdown ends.

  .intel_syntax noprefix
  .section .note.Xen, "a", @note
  .long 4, 4, 18
  .asciz "Xen"
  .long start

  .text
  .code32
  .globl start
start:
  cli
  cld
  lgdt [start_gdt_pointer]
  ljmp 0x08, offset 1f
1:
  mov eax, 0x10
  mov ds, eax
  mov es, eax
  mov ss, eax
  mov fs, eax
  mov gs, eax
  mov esp, MONITOR_STACK
  mov al, 0xff
  out 0x21, al
  out 0xa1, al
  # Code of 16 bits goes to where it can run.
  mov esi, offset low_image
  mov edi, LOW
  mov ecx, offset low_size
  rep movsb
  cmp dword ptr [STATE], MAGIC
  je 2f
  mov dword ptr [STATE], MAGIC
  mov dword ptr [STATE + 4], 0
  jmp prepare
2:
  mov edi, RECORD
  xor eax, eax
  mov ecx, RECORD_BYTES / 4
  rep stosd
  mov dword ptr [RECORD + R_vector], SHUTDOWN
  call emit32
  inc dword ptr [STATE + 4]
  jmp prepare

# Sends the record, with the number of the experiment.
  .macro EMIT
  mov dword ptr [RECORD], MAGIC
  mov eax, [STATE + 4]
  mov [RECORD + 4], eax
  mov esi, RECORD
  mov ecx, RECORD_BYTES
  mov edx, PORT_RECORDS
  cld
  rep outsb
  ret
  .endm

emit32:
  EMIT

  .balign 16
start_gdt:
  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
start_gdt_pointer:
  .word 23
  .long start_gdt
