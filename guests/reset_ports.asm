; The other ways to reset: port 0x92 bit 0, the reset control register 0xCF9, the 8042's output port.
;
; guest_data is the step that the guest was at when the reset came.
%include "kbc.inc"
%define STEP dword [guest_data]
        guest   reset_ports, after_reset
        expect_in8 platform.port80, 0x80, 0xff, 0x00
        out8    0x3fb, 0x1b             ; LCR: to see whether the devices were reset
        in8     0x92
        and     al, 0xfe
        mov     STEP, 1
        out8    0x92
        polls   20
        mov     STEP, 2
        or      al, 1                   ; a rise of bit 0 resets the CPU
        out8    0x92
        polls   2000
        fail    platform.reset_port92
        jmp     by_cf9

after_reset:
        cmp     STEP, 2
        jne     .not2
        pass    platform.reset_port92
        mov     STEP, 3
        in8     0x92
        test    al, 1
        jz      by_cf9
        out8    0x92                    ; it is set already: no rise, no reset
        polls   20
        and     al, 0xfe                ; nor is a fall one
        out8    0x92
        polls   20
        jmp     by_cf9
.not2:  cmp     STEP, 5
        je      soft_done
        cmp     STEP, 8
        je      hard_done
        cmp     STEP, 10
        je      by_8042_done
        cmp     STEP, 4
        jae     .cf9
        fail    platform.reset_port92   ; where it had not to come
        jmp     by_cf9
.cf9:   fail    platform.reset_control
        jmp     by_8042

; 82371AB, RC register: bit 2 rises, bit 1 says whether hard
by_cf9: mov     STEP, 4
        out8    0xcf9, 0x00
        expect_in8 platform.reset_control, 0xcf9, 0xff, 0x00
        out8    0xcf9, 0x0a
        expect_in8 platform.reset_control, 0xcf9, 0xff, 0x0a
        out8    0xcf9, 0x00
        polls   20
        mov     STEP, 5
        out8    0xcf9, 0x04
        polls   2000
        fail    platform.reset_control
        jmp     hard
soft_done:
        pass    platform.reset_control
        expect_in8 platform.reset_control, 0x3fb, 0xff, 0x1b    ; the CPU alone
        mov     STEP, 6
        in8     0xcf9
        test    al, 4
        jz      hard
        out8    0xcf9                   ; no rise
        polls   20
        out8    0xcf9, 0x00             ; a fall
        polls   20
hard:   mov     STEP, 7
        out8    0xcf9, 0x02             ; hard; not yet
        polls   20
        out8    0x70, 0x40
        out8    0x71, 0x5a
        out8    0x70, 0x0b
        out8    0x71, 0x72
        mov     STEP, 8
        out8    0xcf9, 0x06
        polls   2000
        fail    platform.reset_control
        jmp     by_8042
hard_done:
        pass    platform.reset_control
        expect_in8 platform.reset_control, 0x3fb, 0xff, 0x00    ; and the devices
        expect_in8 platform.reset_control, 0xcf9, 0x06, 0x00
        expect_in8 platform.port80, 0x80, 0xff, 0x00
; MC146818A, RESET: PIE, AIE, UIE and the flags are cleared, the rest stays
        out8    0x70, 0x0b
        expect_in8 rtc.reset, 0x71, 0xf2, 0x02
        out8    0x70, 0x0c
        expect_in8 rtc.reset, 0x71, 0xff, 0x00
        out8    0x70, 0x40
        expect_in8 rtc.reset, 0x71, 0xff, 0x5a

by_8042:
        mov     STEP, 10
        kbc     0xd1
        kbc_data 0xce                   ; bit 0 of the output port low
        polls   2000
        fail    i8042.reset_output_port
        finish
by_8042_done:
        pass    i8042.reset_output_port
        finish
        irq_routines
        lines_routines
        kbc_routines
