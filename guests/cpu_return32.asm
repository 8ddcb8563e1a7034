; 32-bit protected mode: INT n through gates, IRET, ring 3 and the way back by the TSS (SDM vol. 3,
; 6.12, 6.15; vol. 2, INT and IRET). Each bit of EBX takes away what one clause is about: the control.
%include "faults32.inc"
BS      equ 1 << 14                     ; of DR6
ABSENT_GATE equ 0x31
LOW_GATE equ 0x32                       ; DPL 0
EXIT_GATE equ 0x33                      ; DPL 3: how ring 3 comes back
RETURN_GATE equ 0x34                    ; ends with IRET
USER_STACK equ 0xb000
        absolute guest_data
returns resd 1
        section .text
; selector, or another when a bit of EBX is set: AX
%macro choose 3.nolist
        mov     ax, %1
        test    ebx, %2
        jz      %%first
        mov     ax, %3
%%first:
%endmacro
; An IRET to the code selector AX, in this ring.
%macro try_iret 1.nolist
        movzx   eax, ax
        mov     [fault_stack], esp
        pushfd
        push    eax
        push    dword %1
        mov     byte [fault_vector], NO_FAULT
        mov     dword [fault_error], -1
        mov     dword [fault_resume], %1
        iretd
%1:     mov     esp, [fault_stack]
%endmacro
; Ring 3 at a label, flags AX; comes back behind it by a fault or by EXIT_GATE.
%macro ring3 1.nolist
        mov     byte [fault_vector], NO_FAULT
        mov     dword [fault_error], -1
        mov     dword [fault_resume], %%after
        mov     [fault_stack], esp
        movzx   eax, ax
        push    dword DATA3
        push    dword USER_STACK
        push    eax
        push    dword CODE3
        push    dword %1
        iretd
%%after:
%endmacro
        bits    32
        guest   cpu_return32
        faults_setup
        mov     byte [IDT32+ABSENT_GATE*8+5], 0x0e
        mov     byte [IDT32+EXIT_GATE*8+5], 0xee
        mov     byte [IDT32+RETURN_GATE*8+5], 0xee
        mov     eax, come_back
        mov     [IDT32+RETURN_GATE*8], ax

; INT n
        mov     dword [returns], 0
        test    ebx, 1
        jnz     .no_int                 ; control: not made
        int     RETURN_GATE
.no_int: expect_mem32 cpu.p32_int, [returns], 0xffffffff, 1
        test    ebx, 2
        jnz     .inside
        try     int LAST_GATE+1
        jmp     .limit
.inside: try    int LAST_GATE           ; control: the last that there is
.limit: expect_fault cpu.p32_int_limit, 13, (LAST_GATE+1)*8+2
        test    ebx, 4
        jz      .absent
        mov     byte [IDT32+ABSENT_GATE*8+5], 0x8e
.absent: try    int ABSENT_GATE
        expect_fault cpu.p32_int_not_present, 11, ABSENT_GATE*8+2

; IRET
        choose  0, 8, CODE0
        try_iret null_cs
        expect_fault cpu.p32_iret_null, 13, 0
        scratch 0x1b                    ; code, not present
        choose  SCRATCH, 16, CODE0
        try_iret absent_cs
        expect_fault cpu.p32_iret_not_present, 11, SCRATCH
        choose  DATA0, 32, CODE0
        try_iret data_cs
        expect_fault cpu.p32_iret_data, 13, DATA0
        choose  0x1f8, 64, CODE0
        try_iret no_cs
        expect_fault cpu.p32_iret_selector, 13, 0x1f8
        ; to ring 3 with a stack of ring 0
        choose  DATA0, 128, DATA3
        movzx   eax, ax
        try     call outer_stack
        expect_fault cpu.p32_iret_stack, 13, DATA0
        ; TF in the flags that are popped: #DB behind the first instruction there
        xor     eax, eax
        mov     dr6, eax
        mov     [fault_stack], esp
        mov     byte [fault_vector], NO_FAULT
        mov     dword [fault_error], -1
        mov     dword [fault_resume], .after
        mov     eax, 0x102
        test    ebx, 256
        jz      .trapped
        mov     al, 2
        mov     ah, 0                   ; control: TF stays clear
.trapped:
        push    eax
        push    dword CODE0
        push    dword .there
        iretd
.there: nop
.behind: nop
.after: mov     ecx, dr6
        expect_fault cpu.p32_iret_step, 1, -1
        mov     eax, [fault_ip]
        sub     eax, .behind
        expect_reg cpu.p32_iret_step, eax, -1, 0
        expect_reg cpu.p32_iret_step, ecx, BS, BS

; Ring 3: the way back takes SS and ESP from the TSS, and the frame says whence.
        test    ebx, 512
        jz      .stack
        mov     dword [TSS32+4], RING0_STACK-64 ; control: another stack
.stack: mov     ax, 2
        ring3   user_hlt
        mov     dword [TSS32+4], RING0_STACK
        expect_mem32 cpu.p32_tss_stack, [fault_at], 0xffffffff, RING0_STACK-20
        expect_mem32 cpu.p32_tss_stack, [fault_on], 0xffff, DATA0
        expect_mem32 cpu.p32_tss_stack, [fault_cs], 0xffff, CODE3
        expect_mem32 cpu.p32_tss_stack, [fault_sp], 0xffffffff, USER_STACK
        expect_mem32 cpu.p32_tss_stack, [fault_ss], 0xffff, DATA3
        mov     ax, 2
        test    ebx, 1024
        jnz     .ring0                  ; control: the same in ring 0
        ring3   user_cli
        jmp     .privileged
.ring0: try     call user_cli
.privileged:
        expect_fault cpu.p32_ring3_cli, 13, 0
        test    ebx, 2048
        jz      .low
        mov     byte [IDT32+LOW_GATE*8+5], 0xee ; control: for ring 3, too
.low:   mov     ax, 2
        ring3   user_int
        expect_fault cpu.p32_ring3_int, 13, LOW_GATE*8+2
        mov     ax, 2
        test    ebx, 4096
        jz      .io
        mov     ah, 0x30                ; control: IOPL 3
.io:    mov     word [TSS32+102], 256   ; no bitmap: it would begin behind the limit
        ring3   user_out
        expect_fault cpu.p32_ring3_io, 13, 0
        ; With a bitmap whose bit is clear the port is open.
        mov     word [TSS32+102], 104
        test    ebx, 8192
        jz      .bitmap
        mov     byte [TSS32+104+15], 1 << 7     ; control: port 0x7f is closed
.bitmap: mov    ax, 2
        ring3   user_out_7f
        expect_mem8 cpu.p32_ring3_bitmap, [fault_vector], 0xff, EXIT_GATE
        mov     ax, 2
        ring3   user_selector
        expect_fault cpu.p32_ring3_selector, 13, DATA0
        mov     ax, 2
        mov     dword [returns], 0
        ring3   user_return
        expect_mem8 cpu.p32_ring3_int_back, [fault_vector], 0xff, EXIT_GATE
        expect_mem32 cpu.p32_ring3_int_back, [returns], 0xffffffff, 1
        finish

come_back:
        inc     dword [returns]
        iretd
; AX: the selector of the stack.
outer_stack:
        push    eax
        push    dword USER_STACK
        push    dword 2
        push    dword CODE3
        push    dword user_leave
        iretd
user_hlt:
        hlt
        jmp     user_leave
user_cli:
        cli
user_leave:
        int     EXIT_GATE
user_int:
        int     LOW_GATE
        jmp     user_leave
user_out:
        out     0x7f, al
        jmp     user_leave
user_out_7f:
        out     0x7f, al
        jmp     user_leave
user_selector:
        mov     ax, DATA0
        test    ebx, 16384
        jz      .load
        mov     ax, DATA3               ; control: a segment of ring 3
.load:  mov     ds, ax
        jmp     user_leave
user_return:
        test    ebx, 32768
        jnz     user_leave              ; control: not made
        int     RETURN_GATE
        jmp     user_leave
        faults_routines
