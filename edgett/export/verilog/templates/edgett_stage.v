// Part of a unit that rebuilds a weight: row vectors times the matrices of a factor, each vector by all of them, one number of a result a cycle:
// LANES products at once, their sum in a tree of registers, rounded, and put together to a vector again.
module edgett_stage #(
    parameter VALUES = 2,       // matrices
    parameter BEFORE = 1,       // numbers of a vector that comes in
    parameter AFTER = 1,        // numbers of one that goes out
    parameter DIAGONAL = 0,     // 1: the matrices are diagonal, and one product is made at once
    parameter IN = 8,           // bits of a number that comes in
    parameter OUT = 8,          // bits of one that goes out
    parameter DEPTH = 0,        // floors of the tree: 2 to their power is at least LANES
    parameter MULTIPLIER = 1,   // a sum is multiplied by it, 15 bits,
    parameter SHIFT = 0,        // and shifted down, halves rounded up
    parameter PLACE = 1,        // bits that count the words of the ROM
    parameter COUNT = 1,        // bits that count the numbers of a result
    parameter FILE = "stage.hex"
) (
    input wire clk,
    input wire reset,
    input wire in_valid,
    output wire in_ready,
    input wire [BEFORE*IN-1:0] in_vector,
    output reg out_valid,
    input wire out_ready,
    output reg [AFTER*OUT-1:0] out_vector
);
    localparam LANES = DIAGONAL ? 1 : BEFORE;
    localparam LEAVES = 1 << DEPTH;
    localparam WORDS = VALUES * AFTER;
    localparam SUM = IN + 8 + DEPTH;
    localparam WIDE = SUM + 17;
    localparam [31:0] LAST = WORDS - 1;
    localparam [31:0] FULL = AFTER - 1;
    localparam [31:0] TURN = DIAGONAL ? (BEFORE - 1) * IN : 0;
    localparam signed [WIDE-1:0] HALF = ({{(WIDE-1){1'b0}}, 1'b1} << SHIFT) >> 1;
    localparam signed [WIDE-1:0] MOST = {{(WIDE-OUT+1){1'b0}}, {(OUT-1){1'b1}}};
    localparam signed [WIDE-1:0] LEAST = -MOST;
    localparam signed [31:0] FACTOR = MULTIPLIER;

    // A word of the ROM, and the vector that it meets.
    reg [LANES*8-1:0] rom [0:WORDS-1];
    reg [LANES*8-1:0] word;
    reg [BEFORE*IN-1:0] held;
    reg [PLACE-1:0] place;
    wire go;
    wire first = place == {PLACE{1'b0}};
    wire read = go && (!first || in_valid);
    assign in_ready = go && first;

    initial $readmemh(FILE, rom);

    always @(posedge clk) begin
        if (read) word <= rom[place];
        if (read && first) held <= in_vector;
        else if (read && DIAGONAL != 0) held <= (held >> IN) | (held << TURN);
        if (reset) place <= {PLACE{1'b0}};
        else if (read) place <= place == LAST[PLACE-1:0] ? {PLACE{1'b0}} : place + 1'b1;
    end

    // The tree: node n adds nodes 2n and 2n + 1, the leaves are the products.
    reg [2*LEAVES*SUM-1:SUM] nodes;
    genvar n;
    generate
        for (n = 0; n < LEAVES; n = n + 1) begin : leaf
            if (n < LANES) begin : used
                wire signed [IN-1:0] value = held[n*IN +: IN];
                wire signed [7:0] weight = word[n*8 +: 8];
                wire signed [SUM-1:0] product = value * weight;
                always @(posedge clk) if (go) nodes[(LEAVES+n)*SUM +: SUM] <= product;
            end else begin : idle
                always @(posedge clk) nodes[(LEAVES+n)*SUM +: SUM] <= {SUM{1'b0}};
            end
        end
        for (n = 1; n < LEAVES; n = n + 1) begin : node
            wire [SUM-1:0] total = nodes[2*n*SUM +: SUM] + nodes[(2*n+1)*SUM +: SUM];
            always @(posedge clk) if (go) nodes[n*SUM +: SUM] <= total;
        end
    endgenerate

    // Rounding: times the multiplier, then down.
    wire signed [SUM-1:0] sum = nodes[SUM +: SUM];
    reg signed [WIDE-1:0] scaled;
    reg signed [OUT-1:0] number;
    wire signed [WIDE-1:0] moved = (scaled + HALF) >>> SHIFT;
    always @(posedge clk) begin
        if (go) begin
            scaled <= $signed(sum) * $signed(FACTOR[15:0]);
            number <= moved > MOST ? MOST[OUT-1:0] : moved < LEAST ? LEAST[OUT-1:0] : moved[OUT-1:0];
        end
    end

    // A result, number by number; it waits only where the one before it has not been taken.
    reg [DEPTH+3:0] full;
    reg [COUNT-1:0] count;
    wire [AFTER*OUT-1:0] grown;
    wire arrived = full[DEPTH+3];
    wire whole = arrived && count == FULL[COUNT-1:0];
    assign go = !(whole && out_valid && !out_ready);

    generate
        if (AFTER == 1) begin : alone
            assign grown = number;
        end else begin : several
            reg [(AFTER-1)*OUT-1:0] gathered;
            assign grown = {number, gathered};
            always @(posedge clk) if (go && arrived) gathered <= grown[AFTER*OUT-1:OUT];
        end
    endgenerate

    always @(posedge clk) begin
        if (go && whole) out_vector <= grown;
        if (reset) begin
            full <= {(DEPTH+4){1'b0}};
            count <= {COUNT{1'b0}};
            out_valid <= 1'b0;
        end else begin
            out_valid <= (go && whole) || (out_valid && !out_ready);
            if (go) full <= {full[DEPTH+2:0], read};
            if (go && arrived) count <= whole ? {COUNT{1'b0}} : count + 1'b1;
        end
    end
endmodule
