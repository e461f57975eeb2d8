_base_ = ['./spikformer-8-384-t4_vit-base_4xb48-310e_in1k.py']
