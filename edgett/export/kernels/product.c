/* A product (rows, inner) x (inner, columns), and where its numbers go. */
typedef struct {
    int32_t rows, inner, columns, zero;
    int32_t run, step, jump;             /* `run` columns are `step` apart each, behind them it goes `jump` further */
    int32_t row_run, row_step, row_jump; /* and so do rows */
} NAME_product;
