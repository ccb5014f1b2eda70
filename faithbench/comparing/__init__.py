"""Is A better than B? Do metrics agree?"""
