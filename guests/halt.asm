; Only HLT: the smallest guest.
        bits    16
%ifdef FIRMWARE
        times   0xfff0 db 0
        hlt
        times   0x10000-($-$$) db 0
%else
        hlt
%endif
