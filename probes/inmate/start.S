/* _start: the kernel's stack has argc, argv[], NULL, envp[]. No syscall is made before the
 * attempt's first message. Source: System V ABI for AMD64, section 3.4.1. */
        .globl _start
        .type _start, @function
        .text
_start:
        xorl    %ebp, %ebp
        movq    (%rsp), %rdi
        leaq    8(%rsp), %rsi
        andq    $-16, %rsp
        call    rf_main
        hlt
        .size _start, . - _start

/* long rf_syscall(long nr, long a0, ..., long a5): a5 comes on the stack. */
        .globl rf_syscall
        .type rf_syscall, @function
rf_syscall:
        movq    %rdi, %rax
        movq    %rsi, %rdi
        movq    %rdx, %rsi
        movq    %rcx, %rdx
        movq    %r8, %r10
        movq    %r9, %r8
        movq    8(%rsp), %r9
        syscall
        ret
        .size rf_syscall, . - rf_syscall

/* long rf_int80(long nr, long a0, long a1, long a2): the 32-bit entry, from 64-bit code. Older
 * kernels do not keep r8 to r11, which belong to the caller's scratch registers anyway. */
        .globl rf_int80
        .type rf_int80, @function
rf_int80:
        pushq   %rbx
        movq    %rdi, %rax
        movq    %rsi, %rbx
        xchgq   %rdx, %rcx
        xorl    %esi, %esi
        xorl    %edi, %edi
        int     $0x80
        popq    %rbx
        movslq  %eax, %rax
        ret
        .size rf_int80, . - rf_int80

/* long rf_thread(long flags, void* stack_top, void (*run)(void*), void* argument): clone(2) whose
 * child calls run(argument) on its own stack, which must be aligned to 16, and ends its thread. */
        .globl rf_thread
        .type rf_thread, @function
rf_thread:
        subq    $16, %rsi
        movq    %rdx, (%rsi)
        movq    %rcx, 8(%rsi)
        xorl    %edx, %edx
        xorl    %r10d, %r10d
        xorl    %r8d, %r8d
        movl    $56, %eax
        syscall
        testq   %rax, %rax
        jnz     1f
        xorl    %ebp, %ebp
        popq    %rax
        popq    %rdi
        call    *%rax
        movl    $60, %eax
        xorl    %edi, %edi
        syscall
        hlt
1:      ret
        .size rf_thread, . - rf_thread

/* void rf_attempt_begin(const char* attempt), void rf_attempt_end(const char* attempt, long ret):
 * where the eBPF witness looks, if somebody asks for it (probes/bpf/bracket.bpf.c). The first
 * instruction is one that the kernel emulates: no single step, and no nop of five bytes, in whose
 * place it would put a call. A uretprobe would come back by a system call of its own, which
 * filters see. */
        .globl rf_attempt_begin
        .type rf_attempt_begin, @function
rf_attempt_begin:
        nop
        ret
        .size rf_attempt_begin, . - rf_attempt_begin
        .globl rf_attempt_end
        .type rf_attempt_end, @function
rf_attempt_end:
        nop
        ret
        .size rf_attempt_end, . - rf_attempt_end

        .section .note.GNU-stack, "", @progbits
