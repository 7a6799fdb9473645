//! Table: the open-class words of the language world, by class.

/// Class name, its concepts, its words; `+` after a word marks an irregular plural `word+plural`.
///
/// A class is chosen by its name or, with all classes below it, by a prefix that ends before a dot.
pub(super) const NOUNS: &[(&str, &str, &str)] = &[
    (
        "name.female",
        "name.female",
        "Mia Anna Clara Ella Nora Lily Ruth Alice Emma Sofia Lucy Grace Hazel Ivy Julia Kate Laura Maria Nina Olga Paula Rosa Sara Tina Vera Wendy Zoe Amy Bella Cora Dora Eva Fiona Greta Helen Irene Jane Karen Lena Molly Nancy Olive Penny Rachel Sally Tara Ursula Violet Yara Agnes",
    ),
    (
        "name.male",
        "name.male",
        "Tom Ben Carl David Eric Felix George Henry Ivan Jack Kevin Leo Mark Noah Oscar Paul Robert Simon Theo Victor Walter Adam Bruno Colin Daniel Edgar Frank Gustav Hugo Isaac James Karl Louis Martin Nathan Otto Peter Ralph Samuel Tim Ulrich Vincent William Xavier Aaron Boris Chris Dennis Emil Fred",
    ),
    (
        "city",
        "city",
        "Paris London Berlin Madrid Rome Vienna Lisbon Prague Dublin Oslo Cairo Athens Boston Chicago Tokyo Delhi Moscow Warsaw Zurich Geneva",
    ),
    ("weekday", "weekday.monday", "monday"),
    ("weekday", "weekday.tuesday", "tuesday"),
    ("weekday", "weekday.wednesday", "wednesday"),
    ("weekday", "weekday.thursday", "thursday"),
    ("weekday", "weekday.friday", "friday"),
    ("weekday", "weekday.saturday", "saturday"),
    ("weekday", "weekday.sunday", "sunday"),
    ("month.winter", "month.winter", "december january february"),
    ("month.spring", "month.spring", "march april may"),
    ("month.summer", "month.summer", "june july august"),
    ("month.autumn", "month.autumn", "september october november"),
    ("season", "season", "spring summer autumn winter"),
    ("time.part", "time", "morning afternoon evening night"),
    ("time.point", "time", "noon dawn midnight dusk"),
    ("weather.happy", "weather", "sunny bright warm mild"),
    ("weather.sad", "weather", "rainy grey wet cloudy"),
    ("weather.scary", "weather", "stormy foggy dark icy"),
    ("weather.calm", "weather", "quiet still cool hazy"),
    ("colour.warm", "colour.warm", "red orange yellow pink golden scarlet"),
    ("colour.cool", "colour.cool", "blue green violet purple turquoise silver"),
    ("colour.neutral", "colour.neutral", "black white grey brown beige ivory"),
    (
        "animal.pet",
        "animal.pet",
        "cat dog rabbit hamster parrot mouse+mice kitten puppy turtle canary",
    ),
    ("animal.farm", "animal.farm", "cow horse goat pig chicken hen donkey lamb bull pony"),
    (
        "animal.wild",
        "animal.wild",
        "fox wolf+wolves bear bat snake squirrel beaver badger frog spider lynx+lynxes hare moth fly+flies lizard",
    ),
    ("animal.bird", "animal.bird", "owl crow eagle swallow robin raven sparrow duck pigeon crane"),
    (
        "animal.sea",
        "animal.sea",
        "seal crab gull dolphin whale shark lobster jellyfish+jellyfish octopus+octopuses penguin",
    ),
    (
        "food.fruit",
        "food.fruit",
        "apple pear orange plum cherry date peach lemon banana melon fig apricot",
    ),
    (
        "food.vegetable",
        "food.vegetable",
        "carrot onion tomato+tomatoes potato+potatoes cabbage bean pepper pumpkin leek turnip",
    ),
    (
        "food.dish",
        "food.dish",
        "soup bread rice cheese pasta fish chicken stew ham porridge turkey duck butter bacon",
    ),
    (
        "food.sweet",
        "food.sweet",
        "cake biscuit pie waffle pancake muffin tart bun pudding doughnut",
    ),
    ("food.drink", "food.drink", "milk tea coffee juice water cocoa lemonade cider wine beer"),
    ("place.home", "place.indoors", "kitchen bedroom attic cellar bathroom parlour"),
    ("place.market", "place.indoors", "market bakery shop bank pharmacy mall"),
    ("place.school", "place.indoors", "school library museum university theatre academy"),
    ("place.forest", "place.outdoors", "forest hill valley cave meadow mountain"),
    ("place.sea", "place.outdoors", "beach harbour island bay lighthouse pier"),
    ("place.farm", "place.outdoors", "farm barn orchard mill field stable"),
    ("place.town", "place.outdoors", "square park street station bridge fountain"),
    (
        "emotion.happy",
        "emotion.positive",
        "happy glad cheerful proud delighted joyful merry thrilled",
    ),
    ("emotion.sad", "emotion.negative", "sad lonely miserable sorry gloomy hopeless hurt homesick"),
    (
        "emotion.scary",
        "emotion.negative",
        "afraid scared nervous terrified anxious worried uneasy shaken",
    ),
    (
        "emotion.calm",
        "emotion.positive",
        "calm content relaxed peaceful grateful thoughtful sleepy hopeful",
    ),
    ("profession.home", "profession", "cook maid butler nanny painter plumber gardener tailor"),
    (
        "profession.market",
        "profession",
        "baker butcher merchant banker chemist grocer jeweller clerk",
    ),
    (
        "profession.school",
        "profession",
        "teacher student librarian professor actor writer poet scientist",
    ),
    (
        "profession.forest",
        "profession",
        "hunter ranger woodcutter guide miner hermit climber geologist",
    ),
    ("profession.sea", "profession", "sailor fisher captain diver pirate pilot lifeguard swimmer"),
    (
        "profession.farm",
        "profession",
        "farmer shepherd miller vet rider beekeeper blacksmith carpenter",
    ),
    ("profession.town", "profession", "driver guard judge doctor nurse lawyer mayor singer"),
    (
        "number",
        "number",
        "two three four five six seven eight nine ten eleven twelve fifteen twenty thirty fifty hundred",
    ),
    ("family.female", "family", "mother sister aunt cousin grandmother daughter niece"),
    ("family.male", "family", "father brother uncle cousin grandfather son nephew"),
    (
        "body",
        "body",
        "hand arm head nose shoulder knee finger ear face foot back palm chin neck elbow leg",
    ),
    (
        "thing.home",
        "object.household",
        "lamp chair table spoon pillow clock mirror carpet candle bottle kettle blanket broom drawer",
    ),
    (
        "thing.market",
        "object.household",
        "basket scale coin crate jar bag purse barrel box+boxes parcel sack ticket shelf+shelves glass+glasses",
    ),
    (
        "thing.school",
        "object.household",
        "book pen letter map pencil ruler globe notebook desk bell poster chart chalkboard eraser",
    ),
    (
        "thing.forest",
        "nature",
        "bark stone branch+branches leaf+leaves mushroom stream root feather nest log cliff path tree pebble stump",
    ),
    (
        "thing.sea",
        "nature",
        "bank wave shell rock pearl reef dune puddle cloud star tide current storm rainbow wreck",
    ),
    (
        "thing.farm",
        "object.tool",
        "well bucket rake shovel plough ladder sickle rope fence wagon pitchfork trough gate wheelbarrow crane",
    ),
    (
        "thing.town",
        "object.household",
        "bench+benches flag statue lantern poster sign clock banner tower wall window door post letter",
    ),
    (
        "plant",
        "nature.plant",
        "rose tulip lily violet daisy+daisies fern oak pine palm thistle poppy+poppies ivy",
    ),
    (
        "owned.tool",
        "object.tool",
        "hammer saw axe nail+nails drill knife+knives torch+torches compass+compasses umbrella telescope match+matches key needle camera",
    ),
    (
        "owned.clothing",
        "object.clothing",
        "hat coat scarf+scarves glove boot ring dress+dresses bow cap belt watch+watches shirt jacket necklace skirt apron",
    ),
    (
        "owned.instrument",
        "object.instrument",
        "violin drum flute guitar trumpet piano harp organ bell horn",
    ),
    ("owned.toy", "object.toy", "ball kite doll bat puppet marble puzzle whistle yoyo balloon"),
    (
        "owned.vehicle",
        "object.vehicle",
        "bicycle boat car cart sledge scooter van canoe tractor truck",
    ),
    ("game", "object.toy", "match race concert contest play fair parade dance lottery ball"),
];

/// Class name, its concepts, its words, none with a plural.
pub(super) const QUALITIES: &[(&str, &str, &str)] = &[
    ("size", "adjective.size", "big small tiny huge tall little large long short wide"),
    (
        "mood.happy",
        "adjective",
        "lovely wonderful pretty funny shiny brilliant light sweet fresh beautiful charming splendid",
    ),
    (
        "mood.sad",
        "adjective",
        "broken empty lost old faded dusty cracked heavy torn forgotten cold bitter",
    ),
    (
        "mood.scary",
        "adjective",
        "strange horrible evil creepy sharp crooked dangerous hideous ghostly fierce wild rotten",
    ),
    (
        "mood.calm",
        "adjective",
        "soft gentle smooth plain simple tidy neat round clean silent slow mellow",
    ),
    ("trait.happy", "adjective.trait", "friendly lucky lively playful jolly kind"),
    ("trait.sad", "adjective.trait", "poor tired weak shy unlucky weary"),
    ("trait.scary", "adjective.trait", "cruel greedy grim sly ruthless stern"),
    ("trait.calm", "adjective.trait", "wise patient polite honest modest clever"),
    ("adv.happy", "adverb", "happily gladly cheerfully merrily eagerly brightly joyfully well"),
    ("adv.sad", "adverb", "sadly heavily bitterly wearily alone hopelessly tearfully badly"),
    (
        "adv.scary",
        "adverb",
        "suddenly nervously wildly fearfully desperately secretly blindly madly",
    ),
    ("adv.calm", "adverb", "slowly quietly gently softly calmly carefully silently patiently"),
];

/// Words of a closed class that a sentence names itself, by concept.
pub(super) const FUNCTIONS: &[(&str, &str)] = &[
    ("function.determiner", "a an the this that every some no another each all any both more most"),
    (
        "function.preposition",
        "in on at to from with under behind near over of for by into after before through about across without like until as than beside around between inside outside during",
    ),
    ("function.conjunction", "and but because while when so or if that though once"),
    (
        "function.auxiliary",
        "was were is are am be been did does do will would can could must may might should had has have not",
    ),
    (
        "function.pronoun",
        "he she it they him her his them its their who what nobody everybody nothing something everything someone whose",
    ),
    ("function.pronoun person.first", "i me we us"),
    ("function.pronoun person.first possessive", "my our mine"),
    ("function.pronoun person.second", "you"),
    ("function.pronoun person.second possessive", "your yours"),
    ("function.mark", ". , ? ! \" <story> <end>"),
    ("function.determiner possessive", "'s"),
    ("adverb", "then home away never now why where how too"),
    ("function.determiner", "many much full"),
];
