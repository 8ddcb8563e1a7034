; 8042: status, self-tests, command byte, enabling and disabling, output port, output buffers.
%include "kbc.inc"
        guest   i8042_commands
        irq_setup
        out8    0x3fc, 8
        kbc     0xad
        kbc     0xa7
        kbc_drain

; IBM PS/2 Technical Reference, keyboard controller status register
        expect_in8 i8042.status, 0x64, 0x03, 0x00
        mov     bl, 0                   ; IBF is seen right behind a write, of ten at least once
        mov     cx, 10
.ibf:   push    cx
        call    kbc_ready
        out8    0x64, 0xad
        in8     0x64
        or      bl, al
        pop     cx
        loop    .ibf
        expect_reg i8042.status, bl, 0x02, 0x02
        call    kbc_ready
        expect_in8 i8042.status, 0x64, 0x0b, 0x08       ; A2: it was a command
        kbc     0x60
        kbc_data 0x30
        call    kbc_ready
        expect_in8 i8042.status, 0x64, 0x0f, 0x00       ; it was data; SYS is command byte bit 2
        expect_in8 i8042.status, 0x64, 0xd0, 0x10       ; not locked, no error
        kbc     0xaa
        call    kbc_wait
        expect_al i8042.status, 0x64, 0x2f, 0x0d
        expect_in8 i8042.self_test, 0x60, 0xff, 0x55
        expect_in8 i8042.status, 0x64, 0x01, 0x00
        kbc     0xab
        expect_byte i8042.interface_test, 0x01, 0x00
        kbc     0xa9
        expect_byte i8042.interface_test, 0x01, 0x00
        kbc     0xaa
        expect_byte i8042.self_test, 0x01, 0x55

; command byte
%assign v 0x55
%rep 2
        kbc     0x60
        kbc_data v & 0x77
        kbc     0x20
        expect_byte i8042.command_byte, 0x01, v & 0x77
        expect_in8 i8042.command_byte, 0x64, 0x04, v & 0x04
%assign v 0x22
%endrep
        kbc     0x60
        kbc_data 0x30

; AD and AE, A7 and A8: as bits of the command byte, and in what they do
        kbc     0xae
        kbc     0x20
        expect_byte i8042.keyboard_enable, 0x01, 0x20
        kbc     0xad
        kbc     0x20
        expect_byte i8042.keyboard_enable, 0x01, 0x30
        kbc     0xa8
        kbc     0x20
        expect_byte i8042.aux_enable, 0x01, 0x10
        kbc     0xa7
        kbc     0x20
        expect_byte i8042.aux_enable, 0x01, 0x30
        kbc_data 0xee                   ; a byte for the keyboard turns it on
        kbc     0xad                    ; off before the answer
        expect_nothing i8042.keyboard_enable
        kbc     0xae
        expect_byte i8042.keyboard_enable, 0x01, 0xee
        kbc     0xad
        kbc_data 0xee
        expect_byte i8042.keyboard_enable, 0x01, 0xee
        kbc     0x20
        expect_byte i8042.keyboard_enable, 0x01, 0x20
        kbc     0xd4
        kbc_data 0xe6                   ; scaling 1:1: 0xFA of the mouse
        kbc     0xa7
        expect_nothing i8042.aux_enable
        kbc     0xa8
        expect_byte i8042.aux_enable, 0x21, 0xfa
        kbc     0x60
        kbc_data 0x30

; D0 and D1; bits 4 and 5 are the output buffer's
        kbc     0xd0
        expect_byte i8042.output_port, 0x01, 0xcf
        kbc     0xd1
        kbc_data 0x4b
        kbc     0xd0
        expect_byte i8042.output_port, 0x01, 0x4b
        kbc     0xd1
        kbc_data 0x87
        kbc     0xd0
        expect_byte i8042.output_port, 0x01, 0x87
        kbc     0xd1
        kbc_data 0xcf
        kbc     0x60
        kbc_data 0x00                   ; no interrupts: the buffer stays
        kbc     0xd2
        kbc_data 0x11
        call    kbc_wait
        kbc     0xd0
        call    kbc_ready
        expect_in8 i8042.output_port, 0x60, 0x30, 0x10
        kbc     0xd3
        kbc_data 0x11
        call    kbc_wait
        kbc     0xd0
        call    kbc_ready
        expect_in8 i8042.output_port, 0x60, 0x30, 0x20

; D2 and D3: as if the keyboard and the mouse had sent it
        kbc     0xd2
        kbc_data 0x5a
        expect_byte i8042.output_buffers, 0x01, 0x5a
        kbc     0xd2
        kbc_data 0xa5
        expect_byte i8042.output_buffers, 0x01, 0xa5
        kbc     0xd3
        kbc_data 0x5a
        expect_byte i8042.output_buffers, 0x21, 0x5a
        kbc     0xd3
        kbc_data 0xa5
        expect_byte i8042.output_buffers, 0x21, 0xa5
        expect_in8 i8042.output_buffers, 0x64, 0x01, 0x00

; D4: to the mouse, which answers by the auxiliary buffer
        kbc     0xd4
        kbc_data 0xf2
        expect_byte i8042.aux_command, 0x21, 0xfa
        expect_byte i8042.aux_command, 0x21, 0x00

; the interrupts of both, where the command byte lets them
        irq_forget
        out8    0x21, 0xf9
        out8    0xa1, 0xef
        kbc     0xd2
        kbc_data 0x1c
        expect_no_irq i8042.scan_codes, 1, 20
        in8     0x60
        kbc     0xd3
        kbc_data 0x1c
        expect_no_irq i8042.output_buffers, 12, 20
        in8     0x60
        kbc     0x60
        kbc_data 0x03
        kbc     0xd2
        kbc_data 0x1c
        expect_irq i8042.scan_codes, 1, 20
        expect_in8 i8042.scan_codes, 0x60, 0xff, 0x1c
        expect_no_irq i8042.scan_codes, 1, 20
        kbc     0xd3
        kbc_data 0x1c
        expect_irq i8042.output_buffers, 12, 20
        expect_in8 i8042.output_buffers, 0x60, 0xff, 0x1c
        kbc     0xd2                    ; the line went low with the read: it can rise again
        kbc_data 0x1d
        expect_irq i8042.scan_codes, 1, 20
        in8     0x60
        finish
        irq_routines
        lines_routines
        kbc_routines
