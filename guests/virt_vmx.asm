; VMX, where the host offers it to its guests (scenario nested_vmx), or as firmware on an emulator that
; has it (bochs_test.py): VMXON, the VMCS and its error numbers, VM entries that have to be refused, and
; the exits of a guest of the guest's own (SDM vol. 3, chapters 24 to 28 and 31, appendices A to C).
; EBX is the number of one clause, and takes away what that clause is about: the control. The firmware
; form, which nobody gives registers, has it from -DCONTROL=n.
%include "faults64.inc"
%include "climb.inc"
PML4    equ 0x70000
VMXON_REGION equ 0x20000
VMCS    equ 0x21000
OTHER   equ 0x22000                     ; a region with a revision that is wrong
TSS     equ 0x23000
INNER_STACK equ 0xb000
DATA    equ 0xc093                      ; access rights: data, present, D, G
UNUSABLE equ 0x10000
        ; MSRs: vol. 4, table 2-2, and appendix A
FEATURE_CONTROL equ 0x3a
VMX_BASIC equ 0x480
VMX_PIN equ 0x481
VMX_PROC equ 0x482
VMX_EXIT equ 0x483
VMX_ENTRY equ 0x484
VMX_MISC equ 0x485
VMX_CR0_FIXED1 equ 0x487
EFER    equ 0xc0000080
VMXE    equ 13                          ; the bit of CR4
        ; Fields: appendix B
F_ENTRY_LOAD_ADDRESS equ 0x200a
F_LINK  equ 0x2800
F_PIN   equ 0x4000
F_PROC  equ 0x4002
F_EXCEPTIONS equ 0x4004
F_CR3_TARGETS equ 0x400a
F_EXIT  equ 0x400c
F_ENTRY equ 0x4012
F_ENTRY_LOADS equ 0x4014
F_INJECTION equ 0x4016
F_ERROR equ 0x4400
F_REASON equ 0x4402
F_EVENT equ 0x4404
F_LENGTH equ 0x440c
F_GUEST_GDTR_LIMIT equ 0x4810
F_GUEST_CS_RIGHTS equ 0x4816
F_GUEST_TR_RIGHTS equ 0x4822
F_ACTIVITY equ 0x4826
F_QUALIFICATION equ 0x6400
F_GUEST_CR0 equ 0x6800
F_GUEST_CR3 equ 0x6802
F_GUEST_CR4 equ 0x6804
F_GUEST_RSP equ 0x681c
F_GUEST_RIP equ 0x681e
F_GUEST_RFLAGS equ 0x6820
F_HOST_CS equ 0x0c02
F_HOST_DS equ 0x0c06
F_HOST_TR equ 0x0c0c
F_HOST_CR0 equ 0x6c00
F_HOST_CR3 equ 0x6c02
F_HOST_CR4 equ 0x6c04
F_HOST_GDTR equ 0x6c0c
F_HOST_RSP equ 0x6c14
F_HOST_RIP equ 0x6c16
F_NONE  equ 0x6bfe                      ; no field has this index
        ; What an instruction came to, in R13 (31.2)
INVALID equ 0x100                       ; VMfailInvalid
VALID   equ 0x200                       ; VMfailValid, with the error number
FAULT   equ 0x1000                      ; with the vector
EXITED  equ 1 << 32                     ; with the exit reason
BAD_GUEST equ EXITED | 1 << 31 | 33     ; 27.8
        absolute guest_data
pointer resq 1
        section .text

; NUMBER, register, value, value in the control
%macro choose 4.nolist
        mov     %2, %3
        cmp     r12d, %1
        jne     %%chosen
        mov     %2, %4
%%chosen:
%endmacro
; NUMBER: a jump to the label in the control
%macro in_control 2.nolist
        cmp     r12d, %1
        je      %2
%endmacro
; R13 := what an instruction comes to
%macro outcome_of 1+.nolist
        test    esp, esp                ; CF and ZF are clear
        try     %1
        call    outcome
%endmacro
; CLAUSE, vector, error code
%macro expect_fault 3.nolist
        expect_mem8 %1, [fault_vector], 0xff, %2
        expect_mem64 %1, [fault_error], -1, %3
%endmacro
%macro get 2.nolist
        mov     edx, %2
        vmread  %1, rdx
%endmacro
%macro put 2.nolist
        mov     edx, %1
        mov     rax, %2
        vmwrite rdx, rax
%endmacro
; CLAUSE, NUMBER, error number, instruction, address, address in the control
%macro pointer_fails 6.nolist
        choose  %2, eax, %5, %6
        mov     [pointer], rax
        outcome_of %4 [pointer]
        expect_reg %1, r13, -1, VALID+%3
%endmacro
; CLAUSE, NUMBER, outcome, what makes the VMCS wrong
%macro refused 4+.nolist
        call    fill
        in_control %2, %%legal
        %4
%%legal: call   launch
        expect_reg %1, r13, -1, %3
%endmacro
; The same with a bit of a field set or cleared.
%macro refused_with 5.nolist
        call    fill
        get     rax, %4
        in_control %2, %%legal
        bts     rax, %5
%%legal: vmwrite rdx, rax
        call    launch
        expect_reg %1, r13, -1, %3
%endmacro
%macro refused_without 5.nolist
        call    fill
        get     rax, %4
        in_control %2, %%legal
        btr     rax, %5
%%legal: vmwrite rdx, rax
        call    launch
        expect_reg %1, r13, -1, %3
%endmacro
; CLAUSE, NUMBER, what the inner guest executes instead in the control, label of what it executes,
; exit reason
%macro exits_with 5.nolist
        choose  %2, eax, LINEAR(%4), LINEAR(%3)
        call    run_at
        expect_reg %1, r13, -1, EXITED+%5
%endmacro

        bits    16
        guest   virt_vmx
%ifdef FIRMWARE
%ifndef CONTROL
%define CONTROL 0
%endif
        mov     ebx, CONTROL
%endif
        to_protected32 ABI_STACK
        to_long64 PML4, 1 << 5         ; NE, which VMX wants
        jmp     near begin
        report_routines
begin:  mov     r12d, ebx
        faults_setup
        mov     edi, VMXON_REGION
        mov     ecx, 0x4000/8
        xor     eax, eax
        rep     stosq
        mov     ecx, VMX_BASIC
        try     rdmsr
        and     eax, 0x7fffffff
        mov     [VMXON_REGION], eax
        mov     [VMXON_REGION+8], eax   ; the alignment alone is wrong there
        mov     [VMCS], eax
        inc     eax
        mov     [OTHER], eax

        ; 24.6, A.1
        choose  1, eax, 1, 0x80000000
        cpuid
        expect_reg virt.vmx_cpuid, ecx, 1 << 5, 1 << 5
        mov     eax, 1
        cpuid
        bt      ecx, 5
        jnc     near .end               ; QEMU's TCG hangs at a CR4 that it does not support
        choose  2, ecx, VMX_BASIC, VMX_CR0_FIXED1
        mov     eax, -1
        mov     edx, eax
        try     rdmsr
        expect_reg virt.vmx_basic, eax, 1 << 31, 0
        mov     eax, edx
        and     eax, 0x1fff
        expect_range virt.vmx_basic, eax, 1, 4096       ; the size of a region

        ; 24.7
        mov     qword [pointer], VMXON_REGION
        mov     rax, cr4
        cmp     r12d, 3
        jne     .off
        bts     rax, VMXE
        try     mov cr4, rax
.off:   outcome_of vmxon [pointer]
        expect_reg virt.vmx_off, r13, -1, FAULT+6
        try     vmxoff
        mov     rax, cr4
        bts     rax, VMXE
        try     mov cr4, rax
        cmp     r12d, 4
        jne     .unlocked
        call    lock_vmx
.unlocked:
        outcome_of vmxon [pointer]
        expect_reg virt.vmx_unlocked, r13, -1, FAULT+13
        try     vmxoff
        in_control 5, .not_yet
        call    lock_vmx
.not_yet:
        call    lock_vmx
        expect_fault virt.vmx_locked, 13, 0
        call    lock_vmx
        xor     eax, eax
        try     rdmsr
        expect_reg virt.vmx_locked, eax, 5, 5
        choose  6, eax, VMXON_REGION+8, VMXON_REGION
        mov     [pointer], rax
        outcome_of vmxon [pointer]
        expect_reg virt.vmx_on_aligned, r13, -1, INVALID
        try     vmxoff
        choose  7, eax, OTHER, VMXON_REGION
        mov     [pointer], rax
        outcome_of vmxon [pointer]
        expect_reg virt.vmx_on_revision, r13, -1, INVALID
        try     vmxoff
        choose  8, eax, VMXON_REGION, OTHER
        mov     [pointer], rax
        outcome_of vmxon [pointer]
        expect_reg virt.vmx_on, r13, -1, 0
        mov     qword [pointer], VMXON_REGION
        try     vmxon [pointer]         ; for the control of the last one
        outcome_of vmptrst [pointer]
        cmp     r13, 0
        jne     near .end               ; without VMX operation nothing else can be judged

        ; 24.8
        mov     rax, cr4
        in_control 9, .kept
        btr     rax, VMXE
.kept:  try     mov cr4, rax
        expect_fault virt.vmx_vmxe_held, 13, 0

        ; 31.2 to 31.4: no current VMCS, then one
        cmp     r12d, 10
        jne     .none
        call    fill
.none:  mov     edx, F_ERROR
        outcome_of vmread rax, rdx
        expect_reg virt.vmx_no_vmcs, r13, -1, INVALID
        call    fill
        mov     qword [pointer], VMXON_REGION
        cmp     r12d, 11
        je      .store
        outcome_of vmxon [pointer]
        jmp     .again
.store: outcome_of vmptrst [pointer]
.again: expect_reg virt.vmx_on_again, r13, -1, VALID+15
        pointer_fails virt.vmx_clear_aligned, 12, 2, vmclear, OTHER+8, OTHER
        pointer_fails virt.vmx_clear_vmxon, 13, 3, vmclear, VMXON_REGION, OTHER
        pointer_fails virt.vmx_load_aligned, 14, 9, vmptrld, VMCS+8, VMCS
        pointer_fails virt.vmx_load_vmxon, 15, 10, vmptrld, VMXON_REGION, VMCS
        pointer_fails virt.vmx_load_revision, 16, 11, vmptrld, OTHER, VMCS
        choose  17, edx, F_NONE, F_ERROR
        outcome_of vmread rax, rdx
        expect_reg virt.vmx_read_unsupported, r13, -1, VALID+12
        choose  18, edx, F_NONE, F_GUEST_RIP
        outcome_of vmwrite rdx, rax
        expect_reg virt.vmx_write_unsupported, r13, -1, VALID+12
        choose  19, edx, F_REASON, F_GUEST_RIP
        mov     eax, 0x5a
        outcome_of vmwrite rdx, rax
        mov     ecx, VMX_MISC
        rdmsr
        bt      eax, 29                 ; A.6: VMWRITE may write to any field
        jc      .writable
        expect_reg virt.vmx_write_read_only, r13, -1, VALID+13
        jmp     .written
.writable:
        get     rax, F_REASON
        expect_reg virt.vmx_write_read_only, rax, -1, 0x5a
.written:
        call    fill
        call    launch
        in_control 20, .cleared
        call    launch
        jmp     .launched
.cleared:
        call    fill
        call    launch
.launched:
        expect_reg virt.vmx_launch_launched, r13, -1, VALID+4
        call    fill
        cmp     r12d, 21
        jne     .clear
        call    launch
.clear: call    resume
        expect_reg virt.vmx_resume_clear, r13, -1, VALID+5

        ; 27.2.1, controls
        refused virt.vmx_pin_controls, 22, VALID+7, put F_PIN, 0
        refused virt.vmx_proc_controls, 23, VALID+7, put F_PROC, 0
        refused virt.vmx_exit_controls, 24, VALID+7, put F_EXIT, 0
        refused virt.vmx_entry_controls, 25, VALID+7, put F_ENTRY, 0
        refused virt.vmx_cr3_targets, 26, VALID+7, put F_CR3_TARGETS, 0x1000
        refused virt.vmx_injection, 27, VALID+7, put F_INJECTION, 1 << 31 | 1 << 8
        call    fill
        put     F_ENTRY_LOADS, 1
        choose  28, eax, OTHER+0x804, OTHER+0x800       ; control: an entry that is aligned
        mov     edx, F_ENTRY_LOAD_ADDRESS
        vmwrite rdx, rax
        mov     dword [OTHER+0x800], 0x174              ; IA32_SYSENTER_CS := 0
        call    launch
        expect_reg virt.vmx_msr_area, r13, -1, VALID+7
        ; 27.2.2 to 27.2.4, the host's state
        refused_without virt.vmx_host_cr0, 29, VALID+8, F_HOST_CR0, 31
        refused_without virt.vmx_host_cr4, 30, VALID+8, F_HOST_CR4, VMXE
        refused_with virt.vmx_host_cr3, 31, VALID+8, F_HOST_CR3, 58
        refused virt.vmx_host_cs_null, 32, VALID+8, put F_HOST_CS, 0
        refused virt.vmx_host_tr_null, 33, VALID+8, put F_HOST_TR, 0
        refused_with virt.vmx_host_rpl, 34, VALID+8, F_HOST_DS, 0
        refused_with virt.vmx_host_canonical, 35, VALID+8, F_HOST_GDTR, 63
        refused_with virt.vmx_host_rip, 36, VALID+8, F_HOST_RIP, 63
        ; 27.3.1, the guest's state, and 27.8
        refused_without virt.vmx_guest_cr0, 37, BAD_GUEST, F_GUEST_CR0, 31
        refused_without virt.vmx_guest_cr4, 38, BAD_GUEST, F_GUEST_CR4, VMXE
        refused_with virt.vmx_guest_cr3, 39, BAD_GUEST, F_GUEST_CR3, 58
        refused_without virt.vmx_guest_rflags, 40, BAD_GUEST, F_GUEST_RFLAGS, 1
        refused_with virt.vmx_guest_l_and_d, 41, BAD_GUEST, F_GUEST_CS_RIGHTS, 14
        refused_without virt.vmx_guest_tr_busy, 42, BAD_GUEST, F_GUEST_TR_RIGHTS, 1
        refused_with virt.vmx_guest_gdtr_limit, 43, BAD_GUEST, F_GUEST_GDTR_LIMIT, 16
        refused_with virt.vmx_guest_activity, 44, BAD_GUEST, F_ACTIVITY, 31
        refused virt.vmx_guest_link, 45, BAD_GUEST, put F_LINK, 8
        get     rax, F_QUALIFICATION
        expect_reg virt.vmx_guest_link, rax, -1, 4

        ; Exits: 26.1, 28.2, appendix C
        exits_with virt.vmx_hlt, 46, inner_cpuid, inner_hlt, 12
        get     rax, F_GUEST_RIP
        sub     rax, LINEAR(inner_hlt.hlt)
        expect_reg virt.vmx_hlt, rax, -1, 0
        get     rax, F_LENGTH
        expect_reg virt.vmx_hlt, rax, -1, 1
        choose  47, eax, LINEAR(inner_hlt), LINEAR(inner_hlt.hlt)
        mov     r14, rsp
        call    run_at
        sub     r14, rsp
        expect_reg virt.vmx_state, r14, -1, 0           ; the host's own RSP came back
        get     rax, F_GUEST_RSP
        expect_reg virt.vmx_state, rax, -1, INNER_STACK-0x100
        exits_with virt.vmx_exit_cpuid, 48, inner_hlt, inner_cpuid, 10
        exits_with virt.vmx_vmcall, 49, inner_hlt, inner_vmcall, 18
        exits_with virt.vmx_exception, 50, inner_hlt, inner_ud, 0
        get     rax, F_EVENT
        expect_reg virt.vmx_exception, rax, -1, 1 << 31 | 3 << 8 | 6
        exits_with virt.vmx_io, 51, inner_hlt, inner_out, 30
        get     rax, F_QUALIFICATION
        shr     rax, 16
        expect_reg virt.vmx_io, rax, 0xffff, 0x99       ; the port
        exits_with virt.vmx_msr, 52, inner_hlt, inner_rdmsr, 31
        exits_with virt.vmx_triple_fault, 53, inner_hlt, inner_shutdown, 2
        mov     eax, LINEAR(inner_cpuid)
        call    run_at
        get     rcx, F_LENGTH
        get     rax, F_GUEST_RIP
        in_control 54, .same
        add     rax, rcx
.same:  mov     edx, F_GUEST_RIP
        vmwrite rdx, rax
        call    resume
        expect_reg virt.vmx_resume, r13, -1, EXITED+12  ; behind the CPUID
        ; and after all that was refused it still runs one that is right
        exits_with virt.vmx_after, 55, inner_cpuid, inner_hlt, 12

        ; VMXOFF, 24.7 and 31.3
        in_control 56, .stays
        vmxoff
.stays: mov     edx, F_ERROR
        outcome_of vmread rax, rdx
        expect_reg virt.vmx_vmxoff, r13, -1, FAULT+6
        try     vmxoff                  ; for the control of the last one
        cmp     r12d, 57
        jne     .out
        mov     qword [pointer], VMXON_REGION
        try     vmxon [pointer]
.out:   mov     rax, cr4
        btr     rax, VMXE
        try     mov cr4, rax
        expect_mem8 virt.vmx_vmxe_free, [fault_vector], 0xff, NO_FAULT
.end:   finish

inner_hlt:
        mov     esp, INNER_STACK-0x100
.hlt:   hlt
        jmp     .hlt
inner_cpuid:
        cpuid
        hlt
inner_vmcall:
        vmcall
        hlt
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
        lidt    [LINEAR(no_table)]
        xor     edx, edx
        div     edx
        hlt
no_table:
        dw      0
        dq      0

; VMXON outside SMX, and the lock.
lock_vmx:
        mov     ecx, FEATURE_CONTROL
        mov     eax, 5
        xor     edx, edx
        try     wrmsr
        ret

; Behind an instruction: its flags and its fault, as R13.
outcome:
        pushfq
        pop     rax
        movzx   r13d, byte [fault_vector]
        cmp     r13d, NO_FAULT
        jne     .fault
        mov     r13d, INVALID
        test    al, 1                   ; CF
        jnz     .done
        xor     r13d, r13d
        test    al, 0x40                ; ZF
        jz      .done
        get     r13, F_ERROR
        or      r13, VALID
.done:  ret
.fault: or      r13, FAULT
        ret

; The inner guest at RAX, in a VMCS that is right.
run_at: push    rax
        call    fill
        pop     rax
        mov     edx, F_GUEST_RIP
        vmwrite rdx, rax
; R13 := what became of it; an exit returns to whom this would return to.
launch: mov     edx, F_HOST_RSP
        vmwrite rdx, rsp
        outcome_of vmlaunch
        ret
resume: mov     edx, F_HOST_RSP
        vmwrite rdx, rsp
        outcome_of vmresume
        ret
exited: get     r13, F_REASON
        bts     r13, 32
        ret

; A VMCS that is clear, current and right: 64-bit ring 0 in this guest's own tables, that halts.
fill:   mov     qword [pointer], VMCS
        vmclear [pointer]
        vmptrld [pointer]
        mov     esi, LINEAR(fields)
.field: movzx   edx, word [rsi]
        mov     rax, [rsi+2]
        vmwrite rdx, rax
        add     esi, 10
        cmp     esi, LINEAR(fields.end)
        jb      .field
        mov     rax, cr0
        mov     edx, F_GUEST_CR0
        vmwrite rdx, rax
        mov     edx, F_HOST_CR0
        vmwrite rdx, rax
        mov     rax, cr3
        mov     edx, F_GUEST_CR3
        vmwrite rdx, rax
        mov     edx, F_HOST_CR3
        vmwrite rdx, rax
        mov     rax, cr4
        mov     edx, F_GUEST_CR4
        vmwrite rdx, rax
        mov     edx, F_HOST_CR4
        vmwrite rdx, rax
        mov     esi, LINEAR(controls)
.control:
        mov     ecx, [rsi+4]
        rdmsr
        or      eax, [rsi+8]            ; what has to be 1, and what is wanted
        and     eax, edx                ; of what may be 1
        mov     edx, [rsi]
        vmwrite rdx, rax
        add     esi, 12
        cmp     esi, LINEAR(controls.end)
        jb      .control
        ret
        ; field, capability MSR, bits
controls:
        dd      F_PIN, VMX_PIN, 0
        dd      F_PROC, VMX_PROC, 1 << 7 | 1 << 24      ; HLT exiting, unconditional I/O exiting
        dd      F_EXIT, VMX_EXIT, 1 << 9                ; the host is in 64 bit
        dd      F_ENTRY, VMX_ENTRY, 1 << 9              ; and so is the guest
.end:
; FIELD, values of it and of the fields behind it
%macro field 2-*.nolist
%assign %%encoding %1
%rep %0-1
%rotate 1
        dw      %%encoding
        dq      %1
%assign %%encoding %%encoding+2
%endrep
%endmacro
        ; segments are in the order ES, CS, SS, DS, FS, GS, LDTR, TR
fields: field   F_LINK, -1, 0           ; and IA32_DEBUGCTL
        field   F_EXCEPTIONS, 1 << 6, 0, 0      ; and the mask and the match of page faults
        field   F_CR3_TARGETS, 0
        field   0x400e, 0, 0            ; MSRs to store and to load
        field   F_ENTRY_LOADS, 0
        field   F_INJECTION, 0
        field   0x6000, 0, 0, 0, 0      ; masks and shadows of CR0 and CR4
        ; the guest: selectors, limits with those of GDTR and IDTR, rights, bases likewise
        field   0x0800, 16, 24, 16, 16, 0, 0, 0, 32
        field   0x4800, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0, 0, 0, 0x67
        field   F_GUEST_GDTR_LIMIT, 31, 32*16-1
        field   0x4814, DATA, 0xa09b    ; code, present, L, G
        field   0x4818, DATA, DATA, UNUSABLE, UNUSABLE, UNUSABLE
        field   F_GUEST_TR_RIGHTS, 0x8b ; a TSS, busy
        field   0x6806, 0, 0, 0, 0, 0, 0, 0, TSS, LINEAR(climb_gdt), IDT64
        field   0x4824, 0, 0            ; interruptibility and activity
        field   0x482a, 0               ; SYSENTER
        field   0x6824, 0, 0
        field   0x681a, 0x400           ; DR7
        field   F_GUEST_RSP, INNER_STACK, LINEAR(inner_hlt), 2, 0       ; RIP, RFLAGS, pending
        ; the host: selectors (it has no LDTR), bases of FS, GS, TR, GDTR, IDTR
        field   0x0c00, 16, 24, 16, 16, 0, 0, 32
        field   0x6c06, 0, 0, TSS, LINEAR(climb_gdt), IDT64
        field   0x4c00, 0               ; SYSENTER
        field   0x6c10, 0, 0
        field   F_HOST_RIP, LINEAR(exited)
.end:
        faults_routines

; A TR has its selector and no descriptor: VM entries and exits take it from the VMCS.
        climb_table
