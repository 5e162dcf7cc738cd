# One plain-text report of both tables, the smallest p values first.
set -e
export LC_ALL=C

heading() {
    printf '%s\n' "$1"
    printf '%s\n\n' "$1" | sed 's/./-/g'
}

# smallest FILE COLUMN: the header line, then the rows with the smallest values of that column
smallest() {
    head -n 1 "$1"
    tail -n +2 "$1" | sort -t , -k "$2,$2g" | head $P1
}

aligned() {
    awk -F , '
        {
            for (i = 1; i <= NF; i++) {
                text = $i ~ /^-?[0-9.]+(e[-+]?[0-9]+)?$/ ? sprintf("%.5g", $i) : $i
                cell[NR, i] = text
                if (length(text) > width[i]) width[i] = length(text)
            }
        }
        END {
            if (NR < 2) exit 1
            for (row = 1; row <= NR; row++) {
                printf "%-" width[1] "s", cell[row, 1]
                for (i = 2; i <= NF; i++) printf "  %" width[i] "s", cell[row, i]
                printf "\n"
            }
        }'
}

heading 'Body mass (g) by flipper length (mm) and species: linear model'
smallest $I1 5 | aligned
echo
heading 'Bill length (mm) by species: ANOVA, then Welch t-tests corrected after Holm'
smallest $I2 4 | aligned
