; The keyboard behind the 8042: its answers, and scan codes on IRQ 1.
;
; Scan codes have to be typed: 1C F0 1C 32 21 23 24 2B 34 33 43 3B 42 4B 3A 31 44 4D (set 2), before the
; guest begins. Where nobody did, i8042.typed_keys is not judged.
%include "kbc.inc"
        guest   i8042_keyboard
        irq_setup
        out8    0x3fc, 8

; what was typed: translated to set 1, in order, 16 codes and no more
        kbc     0x60
        kbc_data 0x61                   ; IRQ 1, no mouse, translation
        call    kbc_wait
        test    al, 1
        jz      .nobody
        irq_forget
        in8     0x60
        expect_al i8042.typed_keys, 0x60, 0xff, 0x1e
        out8    0x21, 0xfd
        call    kbc_wait
        expect_irq i8042.typed_keys, 1, 20
        expect_in8 i8042.typed_keys, 0x60, 0xff, 0x9e
%macro typed 1-*.nolist
%rep %0
        expect_byte i8042.typed_keys, 0x01, %1
%rotate 1
%endrep
%endmacro
        typed   0x30, 0x2e, 0x20, 0x12, 0x21, 0x22, 0x23, 0x17, 0x24, 0x25, 0x26, 0x32, 0x31
        expect_nothing i8042.typed_keys
        jmp     .typed
.nobody: not_judged i8042.typed_keys, nobody_typed
.typed: irq_mask_all

; IBM PS/2 Technical Reference, keyboard: commands are answered FA
        kbc     0x60
        kbc_data 0x20                   ; no interrupts, no translation
        kbc_data 0xf5
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0xf2
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        expect_byte i8042.keyboard_ack, 0x01, 0xab
        expect_byte i8042.keyboard_ack, 0x01, 0x83
        kbc_data 0xfe                   ; resend
        expect_byte i8042.keyboard_ack, 0x01, 0x83
        kbc_data 0xee                   ; echo is the one that is not
        expect_byte i8042.keyboard_ack, 0x01, 0xee
        expect_nothing i8042.keyboard_ack
        kbc_data 0xed                   ; LEDs: the command and its argument
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0x07
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0xf0                   ; scan code set
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0x03
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0xf0
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        kbc_data 0x00
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        expect_byte i8042.keyboard_ack, 0x01, 0x03
        kbc_data 0xe1                   ; unknown: resend
        expect_byte i8042.keyboard_ack, 0x01, 0xfe
        kbc_data 0xff                   ; reset: FA, and AA when the self-test has passed
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        call    kbc_wait                ; it may take its time
        test    al, 1
        jnz     .passed
        mov     bx, 20
.slow:  sleep_us 50000
        in8     0x64
        test    al, 1
        jnz     .passed
        dec     bx
        jnz     .slow
.passed:
        expect_byte i8042.keyboard_ack, 0x01, 0xaa
; the bytes are translated, too: id AB 83 reads AB 41
        kbc     0x60
        kbc_data 0x60
        kbc_data 0xf2
        expect_byte i8042.keyboard_ack, 0x01, 0xfa
        expect_byte i8042.keyboard_ack, 0x01, 0xab
        expect_byte i8042.keyboard_ack, 0x01, 0x41
        finish
        irq_routines
        lines_routines
        kbc_routines
