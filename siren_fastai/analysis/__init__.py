"""What a finished fit has to tell: its history, its pictures' leading digits, figures and a report."""
