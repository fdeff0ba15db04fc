// Part of a unit that rebuilds a weight: the rows of the first factor, whole, one after the other, each time that `start` is high for a cycle.
// Verilog-2005. A vector goes from part to part when `valid` and `ready` are both high at a rising edge of the clock.
module edgett_rows #(
    parameter VALUES = 2,       // rows
    parameter WIDTH = 8,        // bits of a row
    parameter PLACE = 1,        // bits that count them
    parameter FILE = "rows.hex"
) (
    input wire clk,
    input wire reset,
    input wire start,
    output reg valid,
    input wire ready,
    output reg [WIDTH-1:0] vector
);
    localparam [31:0] LAST = VALUES - 1;
    reg [WIDTH-1:0] rom [0:VALUES-1];
    reg [PLACE-1:0] place;
    reg running;
    wire move = running && (!valid || ready);

    initial $readmemh(FILE, rom);

    always @(posedge clk) begin
        if (move) vector <= rom[place];
        if (reset) begin
            running <= 1'b0;
            valid <= 1'b0;
            place <= {PLACE{1'b0}};
        end else begin
            valid <= move || (valid && !ready);
            if (start && !running) begin
                running <= 1'b1;
                place <= {PLACE{1'b0}};
            end else if (move) begin
                running <= place != LAST[PLACE-1:0];
                place <= place + 1'b1;
            end
        end
    end
endmodule
