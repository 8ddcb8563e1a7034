; An NMI (scenario nmi) comes although interrupts are off.
%include "ringfence.inc"
        guest   cpu_nmi
        mov     word [2*4], handler
        mov     word [2*4+2], IMAGE_SEGMENT
        mov     byte [guest_data], 0
        cli
        out     0x30, al
        nop
        out     0x80, al
        expect_mem8 cpu.nmi, [guest_data], 0xff, 1
        finish
handler:
        inc     byte [guest_data]
        iret
