/* Two products, of which the second reads what the first makes, block by block. */
typedef struct {
    NAME_product first, second; /* a block of the first, all of the second */
    int32_t at_once;            /* rows of the second that a block is read by */
    int32_t along;              /* blocks until the first begins again with its input, for its next columns */
    int32_t next;               /* the numbers that hold the weights of the columns of a block */
} NAME_fused;
