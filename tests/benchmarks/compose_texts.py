"""Writes ``texts.txt``: 512 different English texts with one [MASK] each. Deterministic; run it only to change them.

    .venv/bin/python -m tests.benchmarks.compose_texts

Many are short and a few are long, as real requests are: 5 to 177 tokens (with [CLS] and [SEP]), half of them up to 25,
a tenth above 60. The sentences are our own, about what everybody may know; longer texts are several on one subject.
"""

import math
import random
import re
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist

from tests.benchmarks.texts import BLOCK, COUNT, TEXTS_FILE, count_tokens

SHORTEST, MEDIAN, P90, LONGEST = 5, 25, 63, 177
SIGMA = math.log(P90 / MEDIAN) / NormalDist().inv_cdf(0.9)
TRIES = 4000

TINY = """Birds sing. Fish swim. Snow melts. Rivers flow. Stars shine. Dogs bark. Cats sleep. Wood burns. Iron rusts.
Ice floats. Wolves hunt. Bees fly. Water is wet. Fire is hot. Ice is cold. Grass is green. Blood is red. Gold is
heavy. Time flies. Lemons are sour. Honey is sweet. Milk is white. Coal is black. Owls hunt mice. Cows eat grass.
Sheep give wool. Hens lay eggs. Bees make honey. Trees need light. Glass breaks easily. Sound needs air. Salt tastes
salty. Winter is cold. Summer is warm. The sun rises. The moon shines."""

CAPITALS = """Paris France, Rome Italy, Madrid Spain, Lisbon Portugal, Berlin Germany, Vienna Austria, Athens Greece,
Oslo Norway, Helsinki Finland, Dublin Ireland, Warsaw Poland, Prague Czechia, Cairo Egypt, Nairobi Kenya, Tokyo Japan,
Delhi India, Ottawa Canada, Lima Peru, Havana Cuba, Canberra Australia, Budapest Hungary, Bern Switzerland"""

SUBJECTS = """
The capital of France is Paris, and the river that runs through it is the Seine.
Many visitors climb the iron tower that an engineer built there for a fair in 1889.
The city has museums, wide streets, old bridges and some of the best bakeries in Europe.
A high-speed train takes about two hours from there to the port of Marseille.
Lyon, farther south, lies where two rivers meet.
The mountains in the east of the country separate it from Italy and Switzerland.

The Earth goes around the sun once in a year and turns around its own axis once in a day.
The moon is about four hundred thousand kilometres away and always shows us the same side.
Mars looks red because its dust contains iron that has rusted.
Jupiter is the largest planet, and a storm on it has been raging for centuries.
Saturn is known for its rings, which are made of ice and rock.
Light from the sun needs about eight minutes to reach us.
Venus is hotter than Mercury, although it is farther from the sun.

Water boils at one hundred degrees at sea level, but at a lower temperature on a high mountain.
When it freezes it expands, which is why ice floats and why pipes burst in winter.
Two atoms of hydrogen and one atom of oxygen make one molecule of water.
Most of the water on our planet is salty; only a small part is fresh, and much of that is frozen.
Clouds are made of tiny drops.
Rain falls when the drops become too heavy for the air to carry.

Bees visit flowers to collect nectar, and carry pollen from one plant to the next while they do so.
A hive has one queen, a few hundred drones and many thousands of workers.
The workers dance to tell each other where food can be found.
Honey keeps for years because it contains very little water.
Without insects many fruit trees would bear no fruit at all.
In winter the bees stay close together and keep each other warm.

The heart pumps blood through the body, about five litres of it every minute.
Red cells carry oxygen from the lungs to the muscles and bring carbon dioxide back.
An adult has two hundred and six bones, and the smallest of them are in the ear.
The skin is the largest organ.
Doctors listen to the chest with an instrument that was invented two hundred years ago.
A good night of sleep helps the brain to keep what it has learned during the day.

Bread is made from flour, water, salt and yeast.
The baker kneads the dough, lets it rest in a warm place and waits until it has doubled in size.
Then it goes into a hot oven, where the crust turns brown and the smell fills the whole street.
In many countries people eat bread at every meal.
Rice takes its place in large parts of Asia, and maize in much of Central America.
A loaf made of rye stays fresh longer than one made of wheat.

The printing press changed Europe more than most wars did.
Before it, monks copied books by hand, and a single volume could cost as much as a house.
Within fifty years there were presses in hundreds of towns, and millions of books had been sold.
Ideas travelled faster, and so did mistakes.
Newspapers came later, when paper was cheap and many people could read.
Libraries were founded so that even poor readers could borrow what they could not buy.

A piano has eighty-eight keys, and behind each of them a small hammer strikes the strings.
The violin is played with a bow, the guitar with the fingers.
An orchestra tunes to a note that the oboe gives.
Drums are among the oldest instruments of all.
Most songs on the radio last between three and four minutes.
The composer wrote his last symphony when he could no longer hear, and conducted its first performance himself.

Whales are not fish but mammals; they breathe air and feed their young with milk.
The blue whale is the largest animal that has ever lived on Earth.
Dolphins find their way in dark water by listening to the echo of their own clicks.
Penguins live in the south, polar bears in the north.
Sharks have been swimming in the sea for more than four hundred million years.
An octopus has three hearts and eight arms.
Corals are animals too, although they look like plants.

The train left the station at half past seven and was already late when it reached the coast.
Passengers stood in the corridor, read the paper and looked at the fields behind the wet windows.
A woman with a red umbrella asked the guard whether there would be a bus to the harbour.
He shook his head and said that the last one had gone an hour ago.
So they shared a taxi, and arrived just in time for the ferry.

To plant a tree, dig a hole that is twice as wide as its roots and about as deep.
Put the tree in, fill the hole with soil and press it down with your foot.
Give it plenty of water in the first summer.
Apple trees need another apple tree nearby, or they bear little fruit.
Oaks grow slowly but can become a thousand years old.
In autumn the leaves turn yellow and red before they fall.

A computer stores everything as numbers, and every number as a row of ones and zeros.
The processor reads one instruction after the other, but billions of them in each second.
Programs are written by people in languages that look a little like English and a little like algebra.
A good program is easy to read, because it will be read far more often than it is written.
Errors are found by tests, by users and sometimes by pure luck.
The first programmer was a woman who lived in London in the nineteenth century.

Chess is played by two people on a board with sixty-four squares.
Each side has eight pawns, two rooks, two knights, two bishops, a queen and a king.
The game ends when the king is attacked and cannot escape.
Football is simpler: the team that scores more goals wins.
A marathon is a little longer than forty-two kilometres.
Tennis players change sides after every odd game so that wind and sun are fair to both.

The old lighthouse stands on a rock at the end of the bay.
For a hundred years its keeper lit the lamp every evening and put it out every morning.
Today a small computer does his work, and nobody lives there any more.
Fishermen still look for its light when they come home in fog.
On clear days you can see the islands from the gallery, and sometimes the mountains behind them.

Copper conducts electricity very well, which is why most cables are made of it.
Gold does not rust, silver turns black, and iron needs paint.
Mercury is the only metal that is liquid at room temperature.
Steel is iron with a little carbon in it.
Diamonds and the lead of a pencil consist of the same element.
Aluminium was once more expensive than gold, although the ground is full of it.

A parliament makes the laws, a government carries them out, and courts decide what they mean.
Elections are held every four or five years in most countries.
Whoever gets the most votes does not always win the most seats.
Taxes pay for schools, roads, hospitals and the police.
A constitution can usually be changed only by a large majority.
Judges should be independent of those who appointed them.

The desert is hot during the day and cold at night, because dry air does not keep the heat.
Camels can go without water for more than a week.
Their humps contain fat and not water, as many people believe.
Some seeds wait in the sand for years until the rain comes, and then flower within days.
The largest desert of all is covered with ice and lies around the South Pole.
Caravans once carried salt, gold and cloth from one oasis to the next.

Children learn to speak without lessons, simply by listening and trying.
At the age of six most of them know several thousand words.
Reading is different: somebody has to show them how letters stand for sounds.
Spanish is spelled almost as it is spoken, English is not.
Nobody knows exactly how many languages are spoken in the world, but there are more than six thousand.
Many of them have no writing of their own.

Our shop is open from nine in the morning until six in the evening, except on Sundays.
Please send the broken part back to us, and we will replace it free of charge within two weeks.
If you have lost the receipt, the number on the back of the machine is enough.
The manual can be found on our website in twelve languages.
Thank you for your patience, and for being our customer for so many years.
The battery should be charged for four hours before you use the device for the first time.

The film is too long, but the actors are wonderful and the pictures are beautiful.
It tells the story of two brothers who inherit a farm and cannot agree what to do with it.
The music was a little loud for my taste.
I would watch it again, if only for the last scene, in which nobody says a single word.
The audience clapped for several minutes.
The book on which it is based is shorter, darker and much better.

Volcanoes form where plates of the crust move apart or slide under one another.
Hot rock rises from below, gathers in a chamber and at last breaks through to the surface.
The ash of a large eruption can cool the whole planet for a year or two.
Soil near a volcano is fertile, so people return to it again and again.
Iceland lies on a ridge in the middle of the Atlantic Ocean.
Earthquakes are measured with instruments that write a line on paper.

The meeting was moved to Thursday because half of the team had caught a cold.
We should decide then whether the new version is ready or needs another month.
The list of open questions has become shorter, but the difficult ones are still on it.
Somebody will have to write to the customer, and it had better be somebody polite.
Everything else can wait until after the holidays.
"""


def main() -> None:
    rng = random.Random(20_25)
    short, subjects = _short_sentences(), [block.split("\n") for block in SUBJECTS.strip().split("\n\n")]
    texts: dict[str, int] = {}
    for target in _targets():
        text = _composed(target, short, subjects, texts, rng)
        texts[text] = count_tokens(text)
    rows = _ordered(sorted(texts, key=lambda text: texts[text]), rng)
    Path(TEXTS_FILE).write_text("\n".join(rows) + "\n")


def _targets() -> list[int]:
    """Lengths in tokens: quantiles of a log-normal distribution, cut at both ends."""
    quantiles = ((i + 0.5) / COUNT for i in range(COUNT))
    lengths = [round(MEDIAN * math.exp(SIGMA * NormalDist().inv_cdf(q))) for q in quantiles]
    return [*(min(max(length, SHORTEST), LONGEST - 9) for length in lengths[:-1]), LONGEST]


def _short_sentences() -> list[str]:
    capitals = [entry.split() for entry in CAPITALS.replace("\n", " ").split(", ")]
    return [
        *re.findall(r"[A-Z][^.]*\.", " ".join(TINY.split())),
        *(f"{city} is the capital of {country}." for city, country in capitals),
        *(f"{city} is in {country}." for city, country in capitals),
        *(f"My train to {city} leaves before {later}." for (city, _), (later, _) in pairwise(capitals)),
    ]


def _composed(
    target: int, short: list[str], subjects: list[list[str]], taken: dict[str, int], rng: random.Random
) -> str:
    """A new text whose length is as near to the target as a few thousand tries come."""
    best, best_distance = "", 10_000
    for _ in range(TRIES):
        text = _masked(_draft(target, short, subjects, rng), rng)
        if text in taken:
            continue
        distance = abs(count_tokens(text) - target)
        if distance < best_distance:
            best, best_distance = text, distance
        if not distance:
            break
    return best


def _draft(target: int, short: list[str], subjects: list[list[str]], rng: random.Random) -> str:
    if target <= 9:
        return rng.choice(short)
    picked: list[str] = []
    sentences: list[str] = []
    while _words(picked) < target * rng.uniform(0.6, 0.9):
        if not sentences:
            subject = rng.choice(subjects)
            start = rng.randrange(len(subject))
            sentences = subject[start:] + subject[:start]
        picked.append(sentences.pop(0))
    return " ".join(picked)


def _words(sentences: list[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


def _masked(text: str, rng: random.Random) -> str:
    word = rng.choice(list(re.finditer(r"\b[A-Za-z]{2,}\b", text)))
    return f"{text[: word.start()]}[MASK]{text[word.end() :]}"


def _ordered(texts: list[str], rng: random.Random) -> list[str]:
    """Shuffled, but so that every block of 64 has a fair share of each length: short windows are then comparable."""
    blocks: list[list[str]] = [texts[start :: COUNT // BLOCK] for start in range(COUNT // BLOCK)]
    for block in blocks:
        rng.shuffle(block)
    rng.shuffle(blocks)
    return [text for block in blocks for text in block]


if __name__ == "__main__":
    main()
