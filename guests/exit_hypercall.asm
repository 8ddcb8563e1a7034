; Hypercalls: MAP_GPA_RANGE (12), which may come out, and a number that KVM does not have, which it
; answers itself with -KVM_ENOSYS (-1000). BL 1 makes none: the control.
%include "ringfence.inc"
%macro hypercall 0.nolist
        test    r12d, r12d
        jnz     %%none
        cmp     r13d, 0x68747541        ; "Auth"enticAMD, as the host gave it
        je      %%amd
        vmcall
        jmp     %%made
%%amd:  vmmcall
        jmp     %%made
%%none: mov     eax, 1
%%made:
%endmacro
        bits    64
        guest   exit_hypercall
        mov     r12d, ebx
        xor     eax, eax
        cpuid
        mov     r13d, ebx
        mov     eax, 12
        mov     ebx, 0x10000
        mov     ecx, 2
        xor     edx, edx
        hypercall
        expect_reg exit.hypercall, rax, -1, 0
        mov     eax, 99
        hypercall
        expect_reg exit.hypercall_unknown, rax, -1, -1000
        finish
