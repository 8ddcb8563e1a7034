; Three writes of 7 to an address where no memory is, for what the kernel may take off the host's
; hands.
%include "ringfence.inc"
        bits    64
        guest   exit_mmio_fds
        mov     eax, 7
        mov     [0x400000], eax
        mov     [0x400000], eax
        mov     [0x400000], eax
        finish
