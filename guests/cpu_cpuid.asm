; CPUID as the host set it: RDRAND (leaf 1, ECX bit 30) is off, whatever the processor has. The
; control turns it on.
%include "ringfence.inc"
        guest   cpu_cpuid
        mov     eax, 1
        cpuid
        expect_reg cpu.cpuid, ecx, 1 << 30, 0
        finish
