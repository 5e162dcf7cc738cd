wc -l -w -c $I1
