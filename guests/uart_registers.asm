; 16550: registers after a reset, what reads back, and DLAB.
%include "uart.inc"
        guest   uart_registers

; PC16550D, table I: after Master Reset
        expect_in8 uart.reset_values, LSR, 0xff, 0x60
        expect_in8 uart.reset_values, IIR, 0xff, 0x01
        expect_in8 uart.reset_values, IER, 0xff, 0x00
        expect_in8 uart.reset_values, LCR, 0xff, 0x00
        expect_in8 uart.reset_values, MCR, 0x1f, 0x00

; 8.1, 8.6, 8.8. No bit of LCR but 7 is fixed; MCR has five.
%assign v 0x55
%rep 2
        out8    SCR, v
        expect_in8 uart.readback, SCR, 0xff, v
        out8    LCR, v & 0x7f
        expect_in8 uart.readback, LCR, 0xff, v & 0x7f
        out8    MCR, v & 0x1f
        expect_in8 uart.readback, MCR, 0x1f, v & 0x1f
        expect_in8 uart.readback, SCR, 0xff, v
%assign v 0xaa
%endrep
        out8    LCR, 0x80
        expect_in8 uart.readback, LCR, 0xff, 0x80
        out8    LCR, 0x03
; 8.6: "Bits 5 through 7: these bits are permanently set to logic 0."
        out8    MCR, 0xff
        expect_in8 uart.mcr_high_bits, MCR, 0xff, 0x1f
        out8    MCR, 0xe0
        expect_in8 uart.mcr_high_bits, MCR, 0xff, 0x00

; 8.1, table II: the divisor latches lie over RBR/THR and IER while DLAB is 1
        out8    MCR, MCR_LOOP
        out8    IER, 0x05
        out8    LCR, 0x83
        out8    DLL, 0x5a
        out8    DLM, 0xaa
        expect_in8 uart.dlab_overlay, DLL, 0xff, 0x5a
        expect_in8 uart.dlab_overlay, DLM, 0xff, 0xaa
        out8    DLL, 0xa5
        out8    DLM, 0x55
        expect_in8 uart.dlab_overlay, DLL, 0xff, 0xa5
        expect_in8 uart.dlab_overlay, DLM, 0xff, 0x55
        ; neither went to THR nor to IER
        expect_in8 uart.dlab_overlay, LSR, 0xff, 0x60
        out8    DLL, 1
        out8    DLM, 0
        out8    LCR, 0x03
        expect_in8 uart.dlab_overlay, IER, 0xff, 0x05
        out8    IER, 0xfa               ; 8.7: bits 4-7 are always 0
        expect_in8 uart.dlab_overlay, IER, 0xff, 0x0a
        out8    IER, 0x00
        ; and with DLAB 0 the data registers are there again
        out8    THR, 0x77
        mov     cx, 2000
.wait:  in8     LSR
        test    al, LSR_DR
        loopz   .wait
        out8    LCR, 0x83
        expect_in8 uart.dlab_overlay, DLL, 0xff, 0x01
        expect_in8 uart.dlab_overlay, DLM, 0xff, 0x00
        out8    LCR, 0x03
        expect_in8 uart.dlab_overlay, RBR, 0xff, 0x77
        finish
        irq_routines
