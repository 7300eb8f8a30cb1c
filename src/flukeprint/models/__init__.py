"""The embedding network, its backbones, and the losses it is trained with."""
