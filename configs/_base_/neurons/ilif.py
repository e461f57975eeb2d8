# Integers 0 to 4 in one time step, which are four binary steps in inference.
neuron = dict(type='ILIFNode', D=4, decay=0.25)
time_steps = 1
