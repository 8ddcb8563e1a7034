; Reads [RSI], which the host mapped to a marker, in a page of the size in the case (scenarios page_4k
; to page_1g).
%include "ringfence.inc"
        bits    64
        guest   cpu_paging
        mov     eax, [rsi]
        expect_reg cpu.paging, rax, 0xffffffff, 0x5aa51234
        finish
