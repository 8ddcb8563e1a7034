; CPUID as the host set it, whatever the processor has: LAHF in long mode (leaf 80000001h, ECX bit 0) and
; RDRAND (leaf 1, ECX bit 30) are off. The control turns them on.
%include "ringfence.inc"
        guest   cpu_cpuid
        mov     eax, 0x80000001
        cpuid
        expect_reg cpu.cpuid, ecx, 1, 0
        mov     eax, 1
        cpuid
        expect_reg cpu.cpuid_features, ecx, 1 << 30, 0
        finish
