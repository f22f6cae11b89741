"""What a finished fit shows: its history, its images' leading digits, figures and a report."""
