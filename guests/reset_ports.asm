; The other ways to reset: port 0x92 bit 0, the reset control register 0xCF9, the 8042's output port.
%include "kbc.inc"
        guest   reset_ports, after_reset
        mov     dword [guest_data], 0
        in8     0x92
        and     al, 0xfe
        out8    0x92
        polls   4
        mov     dword [guest_data], 1
        or      al, 1                   ; a rise of bit 0
        out8    0x92
        polls   2000
        fail    platform.reset_port92
        jmp     by_cf9
after_reset:
        cmp     dword [guest_data], 1
        jne     later
        pass    platform.reset_port92
by_cf9: mov     dword [guest_data], 2
        out8    0xcf9, 0x02             ; hard; not yet
        expect_in8 platform.reset_control, 0xcf9, 0x06, 0x02
        out8    0x70, 0x0b              ; a reset clears PIE, AIE, UIE (MC146818A, RESET)
        out8    0x71, 0x72
        out8    0x70, 0x0b
        mov     dword [guest_data], 3
        out8    0xcf9, 0x06
        polls   2000
        fail    platform.reset_control
        jmp     by_8042
later:  cmp     dword [guest_data], 3
        jne     last_reset
        pass    platform.reset_control
        out8    0x70, 0x0b
        expect_in8 rtc.registers, 0x71, 0xf2, 0x02
        out8    0x70, 0x0c
        expect_in8 rtc.registers, 0x71, 0xff, 0x00
by_8042:
        mov     dword [guest_data], 4
        kbc     0xd1
        kbc_data 0xce                   ; bit 0 of the output port low
        polls   2000
        fail    i8042.reset
        finish
last_reset:  expect_mem32 i8042.reset, [guest_data], 0xffffffff, 4
        finish
        irq_routines
        lines_routines
        kbc_routines
