; A second processor, started by INIT and start-up IPIs through the local APIC (SDM vol. 3, 9.4.4 and
; 11.6). The host (scenario second_cpu) looks at the second processor whenever the first one writes port
; 0x30, lets it run to its next OUT if it runs at all, and writes down what it saw at guest_data. Each bit
; of EBX changes one thing for each clause: the control.
%include "ringfence.inc"
ICR_LOW equ 0xfee00300
ICR_HIGH equ 0xfee00310
SVR     equ 0xfee000f0
INIT    equ 0x4500                      ; assert
STARTUP equ 0x4600
NMI     equ 0x4400
UNINITIALIZED equ 1                     ; KVM_MP_STATE_*: KVM API, 4.38
INIT_RECEIVED equ 2
RUNNABLE equ 0
FIRST   equ 0x20                        ; pages of code
SECOND  equ 0x21
SHARED  equ 0x700
        absolute guest_data
state   resd 1
came_out resd 1                         ; -1: nothing
cs_base resd 1                          ; before its first instruction
ip      resd 1
cr0_was resd 1
        section .text
; What goes to the APIC with ID 1.
%macro send 1.nolist
        mov     dword [ICR_HIGH], 1 << 24
        mov     dword [ICR_LOW], %1
%endmacro
%macro send_unless 2.nolist
        test    ebx, %1
        jnz     %%not
        send    %2
%%not:
%endmacro
%macro send_if 2.nolist
        test    ebx, %1
        jz      %%not
        send    %2
%%not:
%endmacro
%macro look 0.nolist
        out     0x30, al
%endmacro
        bits    32
        guest   cpu_ap
        mov     esi, processor
        mov     edi, FIRST << 12
        mov     ecx, processor_end - processor
.copy:  mov     al, [esi]
        mov     [edi], al
        mov     [edi+((SECOND-FIRST) << 12)], al
        inc     esi
        inc     edi
        dec     ecx
        jnz     .copy
        mov     word [2*4], nmi - processor
        mov     word [2*4+2], FIRST << 8
        mov     dword [SHARED], 0x1111
        mov     eax, [SVR]
        or      eax, 1 << 8             ; the first one's APIC is on
        mov     [SVR], eax

        send_if 1, INIT
        look
        expect_mem32 cpu.ap_waits, [state], 0xffffffff, UNINITIALIZED
        expect_mem32 cpu.ap_waits, [came_out], 0xffffffff, 0xffffffff
        send_if 2, INIT
        send    STARTUP | SECOND
        look
        expect_mem32 cpu.ap_startup_alone, [came_out], 0xffffffff, 0xffffffff
        send_unless 4, INIT
        look
        expect_mem32 cpu.ap_init, [state], 0xffffffff, INIT_RECEIVED
        expect_mem32 cpu.ap_init, [came_out], 0xffffffff, 0xffffffff
        mov     ecx, STARTUP | FIRST
        test    ebx, 8
        jz      .vector
        mov     cl, SECOND              ; control: another page
.vector: send   ecx
        look
        expect_mem32 cpu.ap_startup, [state], 0xffffffff, RUNNABLE
        expect_mem32 cpu.ap_startup, [cs_base], 0xffffffff, FIRST << 12
        expect_mem32 cpu.ap_startup, [ip], 0xffffffff, 0
        expect_mem32 cpu.ap_startup, [cr0_was], 1, 0
        expect_mem32 cpu.ap_startup, [came_out], 0xffffffff, FIRST << 8
        mov     eax, 0x5aa5
        test    ebx, 16
        jz      .shared
        inc     eax                     ; control: another value
.shared: mov    [SHARED], eax
        look
        expect_mem32 cpu.ap_memory, [came_out], 0xffffffff, 0x5aa5
        mov     dword [SHARED], 0x2222
        send_if 32, INIT
        send    STARTUP | SECOND
        look
        expect_mem32 cpu.ap_second_startup, [came_out], 0xffffffff, 0x2222
        send_unless 64, NMI
        look
        expect_mem32 cpu.ap_nmi, [came_out], 0xffffffff, 0x4e4d
        look
        expect_mem32 cpu.ap_nmi, [came_out], 0xffffffff, 0x2222
        send_unless 128, INIT
        look
        expect_mem32 cpu.ap_stopped, [state], 0xffffffff, INIT_RECEIVED
        finish
; The second processor's: in real mode, at offset 0 of its page.
        bits    16
processor:
        mov     ax, cs
        out     0x31, ax
.loop:  mov     ax, [SHARED]
        out     0x31, ax
        jmp     .loop
nmi:    push    ax
        mov     ax, 0x4e4d
        out     0x31, ax
        pop     ax
        iret
processor_end:
