; Virtualization for the guest, where the host does not offer it: VMXON and VMRUN are #UD, EFER.SVME
; and IA32_VMX_BASIC are #GP, CPUID says so (SDM vol. 3, 23.6; APM vol. 2, 15.4). Each bit of BL
; tries something else: the control.
%include "faults64.inc"
EFER            equ 0xc0000080
VMX_BASIC       equ 0x480
        bits    64
        guest   virt
        faults_setup
        mov     r12d, ebx
        mov     eax, 1
        cpuid
        expect_reg virt.cpuid_vmx, ecx, 1 << 5, 0
        mov     eax, 0x80000001
        cpuid
        expect_reg virt.cpuid_svm, ecx, 1 << 2, 0
        mov     qword [guest_data], 0
        try_unless 1, vmxon [guest_data]
        expect_mem8 virt.vmxon, [fault_vector], 0xff, 6
        mov     eax, 0x10000
        try_unless 2, vmrun
        expect_mem8 virt.vmrun, [fault_vector], 0xff, 6
        try_unless 2, vmload
        expect_mem8 virt.vmload, [fault_vector], 0xff, 6
        mov     ecx, EFER
        rdmsr
        test    r12d, 4
        jnz     .efer                   ; control: as it was
        or      eax, 1 << 12            ; SVME
.efer:  try     wrmsr
        expect_mem8 virt.efer_svme, [fault_vector], 0xff, 13
        mov     ecx, EFER
        rdmsr
        or      eax, 1 << 11            ; NXE, which may be written
        wrmsr
        mov     ecx, VMX_BASIC
        test    r12d, 8
        jz      .basic
        mov     ecx, 0x175              ; control: an MSR that there is
.basic: try     rdmsr
        expect_mem8 virt.msr_vmx_basic, [fault_vector], 0xff, 13
        finish
        faults_routines
