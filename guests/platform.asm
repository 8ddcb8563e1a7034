; The small ports: 0x80, 0xE9 and 0xF4.
%include "pit.inc"
        guest   platform
        irq_setup

; port 0x80: a write takes time and does nothing; it keeps what was written (82371AB: a DMA page register)
        expect_in8 platform.port80, 0x80, 0xff, 0x00
        gate    1
        pit2    0xb4, 0
        polls   2
        pit2_latch
        mov     bx, ax
        mov     al, 0x55
        polls   50
        pit2_latch
        sub     bx, ax
        expect_range platform.port80, bx, 4, 0xffff
        out8    0x80, 0x55
        expect_in8 platform.port80, 0x80, 0xff, 0x55
        out8    0x80, 0xaa
        expect_in8 platform.port80, 0x80, 0xff, 0xaa

; the debug console says what it is
        expect_in8 platform.debug_console, 0xe9, 0xff, 0xe9

; the exit port: this run ends by it. A machine that goes on behind it has none (see report.inc).
        pass    platform.exit_port
        finish
        irq_routines
