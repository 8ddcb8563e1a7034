; The A20 gate, by the 8042 and by port 0x92, seen in memory; and the reset by command FE.
%include "kbc.inc"
HIGH_OFFSET     equ guest_data + 0x10   ; FFFF:x is 0xFFFF0 + x
        guest   i8042_a20, after_reset
        expect_in8 i8042.a20_port92, 0x92, 0xff, 0x00   ; the gate is the 8042's alone
        kbc     0xad
        kbc     0xa7
        kbc_drain
        mov     ax, 0xffff
        mov     es, ax

; open: 1 MiB and 0 are two places
        mov     dword [guest_data], 0x11111111
        mov     dword [es:HIGH_OFFSET], 0x22222222
        expect_mem32 i8042.a20_wrap, [guest_data], 0xffffffff, 0x11111111
        expect_mem32 i8042.a20_wrap, [es:HIGH_OFFSET], 0xffffffff, 0x22222222
; closed by the output port: the same place, for reads and for writes
        kbc     0xd1
        kbc_data 0xcd
        call    kbc_ready
        polls   4
        expect_mem32 i8042.a20_output_port, [es:HIGH_OFFSET], 0xffffffff, 0x11111111
        mov     dword [es:HIGH_OFFSET], 0x33333333
        expect_mem32 i8042.a20_wrap, [guest_data], 0xffffffff, 0x33333333
        mov     dword [guest_data], 0x44444444
        expect_mem32 i8042.a20_wrap, [es:HIGH_OFFSET], 0xffffffff, 0x44444444
        kbc     0xd0
        expect_byte i8042.a20_output_port, 0x01, 0xcd
        kbc     0xd1
        kbc_data 0xcf
        call    kbc_ready
        polls   4
        expect_mem32 i8042.a20_output_port, [es:HIGH_OFFSET], 0xffffffff, 0x22222222
        expect_mem32 i8042.a20_wrap, [guest_data], 0xffffffff, 0x44444444

; by port 0x92, bit 1: both have to be closed. Bits 3, 6 and 7 are kept, 2, 4 and 5 are 0.
        out8    0x92, 0x4a
        expect_in8 i8042.a20_port92, 0x92, 0xff, 0x4a
        out8    0x92, 0x82
        expect_in8 i8042.a20_port92, 0x92, 0xff, 0x82
        out8    0x92, 0x02
        in8     0x92
        and     al, 0xfe
        mov     bl, al
        or      al, 2
        out8    0x92
        expect_in8 i8042.a20_port92, 0x92, 0x03, 0x02
        mov     al, bl
        and     al, 0xfd
        out8    0x92
        expect_in8 i8042.a20_port92, 0x92, 0x03, 0x00
        kbc     0xd1
        kbc_data 0xcd
        call    kbc_ready
        polls   4
        expect_mem32 i8042.a20_port92, [es:HIGH_OFFSET], 0xffffffff, 0x44444444
        mov     al, bl
        or      al, 2
        out8    0x92
        expect_mem32 i8042.a20_port92, [es:HIGH_OFFSET], 0xffffffff, 0x22222222
        mov     al, bl
        and     al, 0xfd
        out8    0x92
        expect_mem32 i8042.a20_port92, [es:HIGH_OFFSET], 0xffffffff, 0x44444444
        kbc     0xd1
        kbc_data 0xcf
        call    kbc_ready
        polls   4
        expect_mem32 i8042.a20_port92, [es:HIGH_OFFSET], 0xffffffff, 0x22222222

; FF pulses nothing; FE the reset line
        mov     dword [guest_data+8], 1
        kbc     0xff
        call    kbc_ready
        polls   20
        pass    i8042.reset
        mov     dword [guest_data+8], 2
        kbc     0xfe
        polls   2000
        fail    i8042.reset
        finish
after_reset:
        expect_mem32 i8042.reset, [guest_data+8], 0xffffffff, 2
        finish
        irq_routines
        lines_routines
        kbc_routines
