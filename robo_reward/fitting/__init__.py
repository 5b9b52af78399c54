"""What reward models are fitted on: demonstrations, negatives stepped or made of them, what is held out, the card."""
