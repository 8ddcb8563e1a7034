; CPUID as the host set it: RDSEED (leaf 7, EBX bit 18) is off, whatever the processor has. The
; control turns it on.
%include "ringfence.inc"
        guest   cpu_cpuid
        mov     eax, 7
        xor     ecx, ecx
        cpuid
        expect_reg cpu.cpuid, ebx, 1 << 18, 0
        finish
