"""Files of weights: reading them safely, finding, publishing and converting them."""
