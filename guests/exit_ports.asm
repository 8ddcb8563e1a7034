; Port accesses of each width, plain and as strings, as they come out and go in (scenarios out1 to
; outsd_page and reads). BL changes what is written: the control.
%include "ringfence.inc"
EDGE    equ 0x2ffe                      ; two bytes before the end of a page
        guest   exit_ports
        mov     eax, 0x44332211
        xor     al, bl
        mov     dx, 0x5001
        out     dx, al
        mov     dx, 0x5002
        out     dx, ax
        mov     dx, 0x5004
        out     dx, eax

        mov     dword [guest_data], 'abcd'
        mov     word [guest_data+4], 'ef'
        xor     [guest_data], bl
        mov     si, guest_data
        mov     dx, 0x5011
        outsb
        mov     cx, 5
        rep     outsb
        std
        mov     si, guest_data+4
        mov     cx, 3
        mov     dx, 0x5012
        rep     outsw
        cld
        mov     dword [EDGE], 'abcd'
        mov     dword [EDGE+4], 'efgh'
        xor     [EDGE], bl
        mov     si, EDGE
        mov     cx, 2
        mov     dx, 0x5014
        rep     outsd

        mov     eax, -1
        mov     dx, 0x5021
        in      al, dx
        expect_reg exit.in1, eax, 0xffffffff, 0xffffff21
        mov     eax, -1
        mov     dx, 0x5022
        in      ax, dx
        expect_reg exit.in2, eax, 0xffffffff, 0xffff4321
        mov     eax, -1
        mov     dx, 0x5024
        in      eax, dx
        expect_reg exit.in4, eax, 0xffffffff, 0x87654321

        mov     di, guest_data
        mov     cx, 4
        mov     dx, 0x5031
        rep     insb
        expect_mem32 exit.insb, [guest_data], 0xffffffff, 0x13121110
        mov     di, guest_data
        mov     cx, 2
        mov     dx, 0x5032
        rep     insw
        expect_mem32 exit.insw, [guest_data], 0xffffffff, 0x25152414
        mov     di, EDGE
        mov     cx, 2
        mov     dx, 0x5034
        rep     insd
        expect_mem32 exit.insd_page, [EDGE], 0xffffffff, 0x46362616
        expect_mem32 exit.insd_page, [EDGE+4], 0xffffffff, 0x47372717
        finish
