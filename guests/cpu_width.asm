; Bytes that are other instructions in each width: what comes out of port 0x50 tells in which width
; the processor runs (the scenarios width_*). Starts in any mode and reports nothing.
;
;                       16 bit          32 bit                  64 bit
;       31 c0           xor ax, ax      xor eax, eax            xor eax, eax
;       48 ff c0        dec ax, inc ax  dec eax, inc eax        inc rax
;       e7 50           out 0x50, ax    out 0x50, eax           out 0x50, eax
;       b8 05 00 90 90  mov ax, 5       mov eax, 0x90900005     mov eax, 0x90900005
;                       nop, nop
        bits    16
        db      0x31, 0xc0, 0x48, 0xff, 0xc0, 0xe7, 0x50
        db      0xb8, 0x05, 0x00, 0x90, 0x90, 0xe7, 0x50
        db      0xb0, 0x00, 0xe6, 0xf4          ; mov al, 0; out 0xf4, al
        db      0xf4                            ; hlt
