; BL 1: goes on where no memory is, which no emulator can fetch from; else comes to the exit port.
%include "ringfence.inc"
        bits    64
        guest   exit_jump
        cmp     bl, 1
        jne     .end
        mov     eax, 0x400000
        jmp     rax
.end:   pass    exit.port
        finish
