/* The cheapest program that ends well: no libc, no start-up. Its cost is the cost of a process. */
        .globl _start
        .text
_start:
        xorl %edi, %edi
        movl $231, %eax /* exit_group */
        syscall
        .section .note.GNU-stack, "", @progbits
