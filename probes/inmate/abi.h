/* What the harness and the inmate share: plain C, no code.
 *
 * The inmate is called with argv = {"inmate", ATTEMPT, PARAMETER...}, and answers in datagrams on
 * the socket RF_ANSWER_FD (AF_UNIX, SOCK_SEQPACKET), each a letter, a space and text:
 *
 *   B <attempt>                      the attempt begins
 *   C <nr> <ret> <a0> ... <a5>       a deciding syscall that was made, decimal ret, hexadecimal
 * args S <bytes>                        what a read returned, up to RF_SECRET_MAX bytes T <text> a
 * remark R achieved | denied <errno> | unable <errno> its own claim: got through; was refused;
 * could not try W                                inspect me now: the sender then waits for one byte
 * on the same socket, with everything that it holds still open
 *
 * and exits with RF_EXIT_DONE after the wait. An unknown attempt exits with RF_EXIT_UNKNOWN. All of
 * it is the attacker's word: evidence of the weakest kind.
 */
#ifndef RINGFENCE_PROBES_INMATE_ABI_H
#define RINGFENCE_PROBES_INMATE_ABI_H

#define RF_ANSWER_FD 3 /* the answer socket */
#define RF_EXE_FD 4    /* the inmate's own image, for attempts that execute it again */
#define RF_GIVEN_FD 5  /* a descriptor that the case passes in on purpose */

#define RF_MESSAGE_MAX 1024
#define RF_SECRET_MAX 900

#define RF_EXIT_DONE 0
#define RF_EXIT_UNKNOWN 64
#define RF_EXIT_MUTE 65 /* the answer could not be written */

#endif
