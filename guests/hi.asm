; Prints "Hi" on COM1 in words of 8 bits (after reset they have 5), waiting for the transmitter before each byte, then halts. Reports nothing.
%include "image.inc"
        image_entry
        mov     dx, 0x3fb
        mov     al, 3
        out     dx, al
        mov     bl, 'H'
        call    put
        mov     bl, 'i'
        call    put
        mov     bl, 10
        call    put
        cli
.halt:  hlt
        jmp     .halt
put:    mov     dx, 0x3fd
.wait:  in      al, dx
        test    al, 0x20
        jz      .wait
        mov     dx, 0x3f8
        mov     al, bl
        out     dx, al
        ret
