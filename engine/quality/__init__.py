"""What a trained model is worth, measured: each file asks one question of it and answers with numbers."""
