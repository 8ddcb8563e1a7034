; Ring 3 of long mode: IRETQ there, the way back by the TSS and by an IST, page faults with the U/S bit,
; what is privileged, SYSCALL and compatibility mode (SDM vol. 3, 4.7, 5.9, 6.14). The host maps low
; memory to itself in pages of 2 MiB, for ring 3, too, with tables at 0x84000, and its GDT and TSS are
; those of cpu_modes.h. Each bit of EBX takes away what one clause is about: the control.
%include "faults64.inc"
CODE0   equ 0x28
CODE3   equ 0x38 | 3
CODE3_32 equ 0x40 | 3
DATA3   equ 0x30 | 3
TSS     equ 0x82000                     ; RSP0 at 4, IST1 at 36: SDM vol. 3, 8.7
RING0_STACK equ 0x7e00
IST_STACK equ 0x7c00
USER_STACK equ 0xb000
PAGE    equ 0xa00000                    ; entry 5 of the page directory
ENTRY   equ 0x86000+5*8
LSTAR   equ 0xc0000082
        absolute guest_data
frame_at resq 1                         ; the stack behind the frame
frame   resq 5                          ; RIP, CS, RFLAGS, RSP, SS
saved   resq 2
        section .text
%macro user_page 2.nolist
        mov     rax, %1
        test    r12d, %2
        jz      %%set
        mov     rax, 0x87
%%set:  mov     [ENTRY], rax
        invlpg  [PAGE]
%endmacro
; CLAUSE, vector, error code
%macro expect_fault 3.nolist
        expect_mem8 %1, [fault_vector], 0xff, %2
        expect_mem64 %1, [fault_error], -1, %3
%endmacro
; Ring 3 at a label in the code segment given; comes back behind it by any fault.
%macro ring3 1-2.nolist CODE3
        mov     byte [fault_vector], NO_FAULT
        mov     qword [fault_error], -1
        mov     qword [fault_resume], %%after
        mov     [fault_stack], rsp
        push    qword DATA3
        push    qword USER_STACK
        push    qword 2
        push    qword %2
        push    qword %1
        iretq
%%after:
%endmacro
        bits    64
        guest   cpu_ring3
        mov     r12d, ebx
        faults_setup
        mov     byte [IDT64+3*16+5], 0xee       ; INT3 is how ring 3 comes back
        mov     qword [TSS+4], RING0_STACK
        mov     qword [TSS+36], IST_STACK

        ring3   user_cs
        mov     rax, [saved]
        test    r12d, 1
        jz      .cpl
        mov     eax, cs                 ; control: as ring 0 sees it
.cpl:   expect_reg cpu.ring3_cpl, rax, 0xffff, CODE3
        test    r12d, 2
        jz      .stack
        mov     qword [TSS+4], RING0_STACK-64   ; control: another stack
.stack: ring3   user_ud
        mov     qword [TSS+4], RING0_STACK
        expect_mem64 cpu.ring3_tss_stack, [frame_at], -1, RING0_STACK-40
        expect_mem64 cpu.ring3_tss_stack, [frame+8], 0xffff, CODE3
        expect_mem64 cpu.ring3_tss_stack, [frame+24], -1, USER_STACK
        expect_mem64 cpu.ring3_tss_stack, [frame+32], 0xffff, DATA3
        test    r12d, 4
        jnz     .no_ist                 ; control: without
        mov     byte [IDT64+6*16+4], 1
.no_ist:
        ring3   user_ud
        mov     byte [IDT64+6*16+4], 0
        expect_mem64 cpu.ring3_ist, [frame_at], -1, IST_STACK-40

        test    r12d, 8
        jnz     .benign
        ring3   user_cli
        jmp     .privileged
.benign: ring3  user_cs                 ; control: nothing privileged
.privileged:
        expect_fault cpu.ring3_cli, 13, 0
        test    r12d, 16
        jnz     .register
        ring3   user_cr
        jmp     .registers
.register: ring3 user_cs
.registers:
        expect_fault cpu.ring3_cr0, 13, 0

        user_page 0x83, 32              ; present, not for ring 3
        ring3   user_read
        expect_fault cpu.pf_user_read, 14, 5
        expect_mem64 cpu.pf_user_read, [fault_address], -1, PAGE
        user_page 0x85, 64              ; for ring 3, not writable
        ring3   user_write
        expect_fault cpu.pf_user_write, 14, 7
        user_page 0, 128                ; not present
        ring3   user_read
        expect_fault cpu.pf_user_absent, 14, 4
        user_page 0, 256
        ring3   user_write
        expect_fault cpu.pf_user_write_absent, 14, 6
        mov     qword [ENTRY], 0x87

        ; 48 is DEC EAX in compatibility mode and a REX prefix in 64-bit code.
        mov     qword [saved], 0
        test    r12d, 512
        jnz     .wide
        ring3   user_width, CODE3_32
        jmp     .width
.wide:  ring3   user_width              ; control: 64-bit code
.width: expect_mem64 cpu.ring3_compat, [frame+8], 0xffff, CODE3_32
        expect_mem32 cpu.ring3_compat, [saved], 0xffffffff, 0x11223344
        finish
user_cs:
        mov     eax, cs
        mov     [saved], rax
        int3
user_ud:
        ud2
user_cli:
        cli
        int3
user_cr:
        mov     rax, cr0
        int3
user_read:
        mov     eax, [PAGE]
        int3
user_write:
        mov     [PAGE], eax
        int3
; mov eax, 0x11223345; dec eax, nop or a NOP with REX.W; mov [saved], eax, which in 64-bit code is a
; moffs of 8 bytes: EAX goes by ESI in both.
user_width:
        db      0xb8, 0x45, 0x33, 0x22, 0x11
        db      0x48, 0x90
        db      0xbe
        dd      saved
        db      0x89, 0x06
        db      0xcc
        ; As faults64.inc has them, but back in ring 0 whatever the frame says.
%assign n 0
%rep 32
fault_%[n]:
%if n == 8 || (n >= 10 && n <= 14) || n == 17
        pop     qword [fault_error]
%endif
        mov     byte [fault_vector], n
        jmp     near fault_common
%assign n n+1
%endrep
fault_common:
        mov     [frame_at], rsp
        mov     rax, cr2
        mov     [fault_address], rax
%assign n 0
%rep 5
        mov     rax, [rsp+n*8]
        mov     [frame+n*8], rax
%assign n n+1
%endrep
        xor     eax, eax
        mov     ss, eax
        mov     rsp, [fault_stack]
        jmp     [fault_resume]
        align   4
fault_table:
%assign n 0
%rep 32
        dd      fault_%[n]
%assign n n+1
%endrep
