hg_add_const.sv
hg_delay.sv
hg_requantize.sv
hg_valid_pipe.sv
two_layers_fc1.sv
two_layers_logits.sv
two_layers.sv
