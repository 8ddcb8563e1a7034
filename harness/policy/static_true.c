/* The smallest program that a runtime can start: static, exits with 0. */
int main(void) { return 0; }
