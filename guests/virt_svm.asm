; SVM, where the host offers it to its guests (scenario nested_svm): set-up, VMRUN of a guest of the
; guest's own, its exit codes, and each VMCB that VMRUN has to refuse with VMEXIT_INVALID (AMD APM
; vol. 2, 15.4 to 15.6, appendices B and C). Each bit of EBX takes away what one clause is about: the
; control.
%include "faults64.inc"
EFER    equ 0xc0000080
VM_CR   equ 0xc0010114
VM_HSAVE_PA equ 0xc0010117
SVME    equ 1 << 12
VMCB    equ 0x20000
HSAVE   equ 0x21000
IOPM    equ 0x22000                     ; 12 KiB
MSRPM   equ 0x26000                     ; 8 KiB
INVALID equ 0xffffffff                  ; what APM calls -1; KVM leaves the upper half of the field alone
        ; Appendix B, table B-1
V_EXCEPTIONS equ VMCB+0x08
V_MISC1 equ VMCB+0x0c
V_MISC2 equ VMCB+0x10
V_IOPM  equ VMCB+0x40
V_MSRPM equ VMCB+0x48
V_ASID  equ VMCB+0x58
V_EXIT  equ VMCB+0x70
V_INFO1 equ VMCB+0x78
        ; table B-2
V_ES    equ VMCB+0x400
V_CS    equ VMCB+0x410
V_SS    equ VMCB+0x420
V_DS    equ VMCB+0x430
V_GDTR  equ VMCB+0x460
V_IDTR  equ VMCB+0x480
V_EFER  equ VMCB+0x4d0
V_CR4   equ VMCB+0x548
V_CR3   equ VMCB+0x550
V_CR0   equ VMCB+0x558
V_DR7   equ VMCB+0x560
V_DR6   equ VMCB+0x568
V_RFLAGS equ VMCB+0x570
V_RIP   equ VMCB+0x578
V_RSP   equ VMCB+0x5d8
V_RAX   equ VMCB+0x5f8
INNER_STACK equ 0xb000
; CLAUSE, vector, error code
%macro expect_fault 3.nolist
        expect_mem8 %1, [fault_vector], 0xff, %2
        expect_mem64 %1, [fault_error], -1, %3
%endmacro
; CLAUSE, bit of EBX, what the inner guest executes instead in the control, label of what it executes,
; exit code
%macro exits_with 5.nolist
        mov     eax, %4
        test    r12d, %2
        jz      %%set
        mov     eax, %3
%%set:  call    run_at
        expect_mem32 %1, [V_EXIT], 0xffffffff, %5
%endmacro
; CLAUSE, bit of EBX, what makes the VMCB wrong
%macro refused 3+.nolist
        call    fill_vmcb
        test    r12d, %2
        jnz     %%legal
        %3
%%legal: call   run
        expect_mem32 %1, [V_EXIT], 0xffffffff, INVALID
%endmacro
; The same with a bit of a field set or cleared.
%macro refused_with 4.nolist
        refused %1, %2, bts qword [%3], %4
%endmacro
%macro refused_without 4.nolist
        refused %1, %2, btr qword [%3], %4
%endmacro
        bits    64
        guest   virt_svm
        mov     r12d, ebx
        faults_setup
        ; VMRUN before SVME is set
        mov     ecx, EFER
        rdmsr
        test    r12d, 1
        jz      .off
        or      eax, SVME               ; control: it is
        wrmsr
.off:   mov     ecx, VM_HSAVE_PA
        mov     eax, HSAVE
        xor     edx, edx
        wrmsr
        call    fill_vmcb
        mov     eax, VMCB
        try     vmrun
        expect_mem8 virt.svm_off, [fault_vector], 0xff, 6

        mov     ecx, EFER
        rdmsr
        or      eax, SVME
        try     wrmsr
        rdmsr
        expect_reg virt.svm_enable, eax, SVME, SVME
        mov     ecx, VM_HSAVE_PA
        mov     eax, HSAVE
        test    r12d, 2
        jz      .hsave
        mov     eax, HSAVE+0x1000
.hsave: xor     edx, edx
        try     wrmsr
        rdmsr
        expect_reg virt.svm_hsave, eax, 0xffffffff, HSAVE
        mov     eax, HSAVE+8
        test    r12d, 4
        jz      .unaligned
        mov     eax, HSAVE              ; control: a page's address
.unaligned:
        try     wrmsr
        expect_fault virt.svm_hsave_aligned, 13, 0
        call    fill_vmcb
        mov     eax, VMCB+8
        test    r12d, 8
        jz      .vmcb
        mov     eax, VMCB
.vmcb:  try     vmrun
        expect_fault virt.svm_vmcb_aligned, 13, 0

        ; Exits, appendix C
        exits_with virt.svm_hlt, 16, inner_cpuid, inner_hlt, 0x78
        mov     rax, [V_RIP]
        sub     rax, inner_hlt.hlt
        expect_reg virt.svm_hlt, rax, -1, 0
        mov     rax, inner_hlt
        test    r12d, 32
        jz      .rax
        mov     rax, inner_hlt.hlt      ; control: without the instruction before it
.rax:   call    run_at
        expect_mem64 virt.svm_state, [V_RAX], -1, 0x1122334455667788
        expect_reg virt.svm_state, r13, -1, VMCB        ; the host's own RAX came back
        exits_with virt.svm_cpuid, 64, inner_hlt, inner_cpuid, 0x72
        exits_with virt.svm_vmmcall, 128, inner_hlt, inner_vmmcall, 0x81
        exits_with virt.svm_exception, 256, inner_hlt, inner_ud, 0x46
        exits_with virt.svm_io, 512, inner_hlt, inner_out, 0x7b
        mov     rax, [V_INFO1]
        shr     rax, 16
        expect_reg virt.svm_io, rax, 0xffff, 0x99       ; the port
        exits_with virt.svm_msr, 1024, inner_hlt, inner_rdmsr, 0x7c
        exits_with virt.svm_shutdown, 2048, inner_hlt, inner_shutdown, 0x7f

        ; 15.5.1, canonicalization and consistency checks
        refused_without virt.svm_no_vmrun, 1 << 12, V_MISC2, 0
        refused virt.svm_asid_0, 1 << 13, mov dword [V_ASID], 0
        refused_without virt.svm_efer_svme, 1 << 14, V_EFER, 12
        refused_with virt.svm_efer_reserved, 1 << 15, V_EFER, 63
        refused_with virt.svm_cr0_nw, 1 << 16, V_CR0, 29
        refused_with virt.svm_cr0_upper, 1 << 17, V_CR0, 32
        refused_with virt.svm_cr3_reserved, 1 << 18, V_CR3, 62
        refused_with virt.svm_cr4_reserved, 1 << 19, V_CR4, 63
        refused_with virt.svm_dr6_upper, 1 << 20, V_DR6, 32
        refused_with virt.svm_dr7_upper, 1 << 21, V_DR7, 32
        refused_without virt.svm_long_without_pae, 1 << 22, V_CR4, 5
        refused_without virt.svm_long_without_pe, 1 << 23, V_CR0, 0
        refused_with virt.svm_code_l_and_d, 1 << 24, V_CS, 16+10
        refused_with virt.svm_iopm_address, 1 << 25, V_IOPM, 62
        refused_with virt.svm_msrpm_address, 1 << 26, V_MSRPM, 62
        ; and after all of them it still runs one that is right
        exits_with virt.svm_after, 1 << 27, inner_cpuid, inner_hlt, 0x78
        finish

inner_hlt:
        mov     rax, 0x1122334455667788
.hlt:   hlt
        jmp     .hlt
inner_cpuid:
        cpuid
        jmp     inner_cpuid
inner_vmmcall:
        vmmcall
        jmp     inner_vmmcall
inner_ud:
        ud2
inner_out:
        out     0x99, al
        hlt
inner_rdmsr:
        mov     ecx, EFER
        rdmsr
        hlt
; No IDT, and an exception that nobody intercepts.
inner_shutdown:
        lidt    [no_table]
        xor     edx, edx
        div     edx
        hlt
no_table:
        dw      0
        dq      0

; The inner guest at RAX, in a VMCB that is right.
run_at: push    rax
        call    fill_vmcb
        pop     rax
        mov     [V_RIP], rax
; R13 := RAX behind VMRUN.
run:    mov     eax, VMCB
        try     vmrun
        mov     r13, rax
        try     stgi                    ; VMEXIT clears the global interrupt flag
        ret

; 64-bit ring 0 in this guest's own tables, that halts. Everything intercepted that clauses ask for.
fill_vmcb:
        mov     edi, VMCB
        mov     ecx, 512
        xor     eax, eax
        cld
        rep     stosq
        mov     edi, IOPM               ; no port and no MSR is open
        mov     ecx, 0x6000/8
        dec     rax
        rep     stosq
        mov     dword [V_EXCEPTIONS], 1 << 6
        mov     dword [V_MISC1], 1 << 18 | 1 << 24 | 1 << 27 | 1 << 28 | 1 << 31
        mov     dword [V_MISC2], 1 << 0 | 1 << 1        ; VMRUN, VMMCALL
        mov     qword [V_IOPM], IOPM
        mov     qword [V_MSRPM], MSRPM
        mov     dword [V_ASID], 1
        mov     word [V_CS], cs
        mov     word [V_CS+2], 0x29b    ; code, present, L
        mov     dword [V_CS+4], -1
        mov     eax, 0x0c930010         ; data, present, D, G
        mov     [V_SS], eax
        mov     [V_DS], eax
        mov     [V_ES], eax
        mov     dword [V_SS+4], -1
        mov     dword [V_DS+4], -1
        mov     dword [V_ES+4], -1
        sgdt    [fault_idtr]
        mov     ax, [fault_idtr]
        mov     [V_GDTR+4], ax
        mov     rax, [fault_base]
        mov     [V_GDTR+8], rax
        mov     dword [V_IDTR+4], 32*16-1
        mov     qword [V_IDTR+8], IDT64
        mov     ecx, EFER
        rdmsr
        or      eax, SVME
        mov     [V_EFER], eax
        mov     [V_EFER+4], edx
        mov     rax, cr4
        mov     [V_CR4], rax
        mov     rax, cr3
        mov     [V_CR3], rax
        mov     rax, cr0
        mov     [V_CR0], rax
        mov     qword [V_DR7], 0x400
        mov     eax, 0xffff0ff0
        mov     [V_DR6], rax
        mov     qword [V_RFLAGS], 2
        mov     qword [V_RIP], inner_hlt
        mov     qword [V_RSP], INNER_STACK
        ret
        faults_routines
