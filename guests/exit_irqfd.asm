; IRQ 5 by an eventfd (scenario irqfd): the host raises it when the guest writes port 0x30.
%include "irq.inc"
        guest   exit_irqfd
        irq_setup
        irq_unmask 5
        sti
        out     0x30, al
        expect_irq exit.irqfd, 5, 2000
        finish
        irq_routines
