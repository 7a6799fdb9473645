//! Table: the words of the aligned languages.
//!
//! Gender is `m`, `f` or `n`; a synthetic word is made from the row's place in its table.

/// Concept; English, French, German, Spanish as `singular/plural/gender` (English without gender).
pub(super) const SUBJECTS: &[(&str, [&str; 4])] = &[
    ("animal.pet", ["dog/dogs", "chien/chiens/m", "Hund/Hunde/m", "perro/perros/m"]),
    ("animal.pet", ["cat/cats", "chat/chats/m", "Katze/Katzen/f", "gato/gatos/m"]),
    ("animal.farm", ["horse/horses", "cheval/chevaux/m", "Pferd/Pferde/n", "caballo/caballos/m"]),
    ("animal.farm", ["cow/cows", "vache/vaches/f", "Kuh/Kühe/f", "vaca/vacas/f"]),
    ("animal.pet", ["mouse/mice", "souris/souris/f", "Maus/Mäuse/f", "ratón/ratones/m"]),
    ("animal.wild", ["frog/frogs", "grenouille/grenouilles/f", "Frosch/Frösche/m", "rana/ranas/f"]),
    ("animal.wild", ["wolf/wolves", "loup/loups/m", "Wolf/Wölfe/m", "lobo/lobos/m"]),
    ("animal.farm", ["goat/goats", "chèvre/chèvres/f", "Ziege/Ziegen/f", "cabra/cabras/f"]),
    (
        "animal.pet",
        ["rabbit/rabbits", "lapin/lapins/m", "Kaninchen/Kaninchen/n", "conejo/conejos/m"],
    ),
    (
        "profession",
        ["teacher/teachers", "professeur/professeurs/m", "Lehrer/Lehrer/m", "maestro/maestros/m"],
    ),
    (
        "profession",
        ["baker/bakers", "boulanger/boulangers/m", "Bäcker/Bäcker/m", "panadero/panaderos/m"],
    ),
    (
        "profession",
        ["farmer/farmers", "fermier/fermiers/m", "Bauer/Bauern/m", "granjero/granjeros/m"],
    ),
    ("profession", ["doctor/doctors", "médecin/médecins/m", "Arzt/Ärzte/m", "médico/médicos/m"]),
    (
        "profession",
        ["painter/painters", "peintre/peintres/m", "Maler/Maler/m", "pintor/pintores/m"],
    ),
    (
        "profession",
        ["cook/cooks", "cuisinier/cuisiniers/m", "Koch/Köche/m", "cocinero/cocineros/m"],
    ),
    (
        "profession",
        [
            "singer/singers",
            "chanteuse/chanteuses/f",
            "Sängerin/Sängerinnen/f",
            "cantante/cantantes/f",
        ],
    ),
];

/// As [`SUBJECTS`].
pub(super) const OBJECTS: &[(&str, [&str; 4])] = &[
    ("food.fruit", ["apple/apples", "pomme/pommes/f", "Apfel/Äpfel/m", "manzana/manzanas/f"]),
    ("food.fruit", ["pear/pears", "poire/poires/f", "Birne/Birnen/f", "pera/peras/f"]),
    ("food.sweet", ["cake/cakes", "gâteau/gâteaux/m", "Kuchen/Kuchen/m", "pastel/pasteles/m"]),
    (
        "food.vegetable",
        ["carrot/carrots", "carotte/carottes/f", "Karotte/Karotten/f", "zanahoria/zanahorias/f"],
    ),
    (
        "food.vegetable",
        ["tomato/tomatoes", "tomate/tomates/f", "Tomate/Tomaten/f", "tomate/tomates/m"],
    ),
    ("object.household", ["book/books", "livre/livres/m", "Buch/Bücher/n", "libro/libros/m"]),
    ("object.toy", ["ball/balls", "ballon/ballons/m", "Ball/Bälle/m", "pelota/pelotas/f"]),
    ("object.clothing", ["hat/hats", "chapeau/chapeaux/m", "Hut/Hüte/m", "sombrero/sombreros/m"]),
    ("object.tool", ["key/keys", "clé/clés/f", "Schlüssel/Schlüssel/m", "llave/llaves/f"]),
    ("object.household", ["lamp/lamps", "lampe/lampes/f", "Lampe/Lampen/f", "lámpara/lámparas/f"]),
    ("object.household", ["chair/chairs", "chaise/chaises/f", "Stuhl/Stühle/m", "silla/sillas/f"]),
    ("object.household", ["table/tables", "table/tables/f", "Tisch/Tische/m", "mesa/mesas/f"]),
    (
        "object.household",
        ["letter/letters", "lettre/lettres/f", "Brief/Briefe/m", "carta/cartas/f"],
    ),
    ("object.vehicle", ["boat/boats", "bateau/bateaux/m", "Boot/Boote/n", "barco/barcos/m"]),
    ("nature.plant", ["flower/flowers", "fleur/fleurs/f", "Blume/Blumen/f", "flor/flores/f"]),
];

/// As [`SUBJECTS`], in the singular alone.
pub(super) const PLACES: &[(&str, [&str; 4])] = &[
    ("place.indoors", ["house//", "maison//f", "Haus//n", "casa//f"]),
    ("place.indoors", ["kitchen//", "cuisine//f", "Küche//f", "cocina//f"]),
    ("place.indoors", ["library//", "bibliothèque//f", "Bibliothek//f", "biblioteca//f"]),
    ("place.outdoors", ["garden//", "jardin//m", "Garten//m", "jardín//m"]),
    ("place.outdoors", ["forest//", "forêt//f", "Wald//m", "bosque//m"]),
    ("place.indoors", ["shop//", "magasin//m", "Laden//m", "tienda//f"]),
    ("place.outdoors", ["park//", "parc//m", "Park//m", "parque//m"]),
    ("place.indoors", ["museum//", "musée//m", "Museum//n", "museo//m"]),
    ("place.outdoors", ["station//", "gare//f", "Bahnhof//m", "estación//f"]),
    ("place.outdoors", ["mill//", "moulin//m", "Mühle//f", "molino//m"]),
];

/// Concept; English; French and Spanish as masculine, feminine and their plurals; German stem.
pub(super) const COLOURS: &[(&str, [&str; 4])] = &[
    ("colour.warm", ["red", "rouge/rouge/rouges/rouges", "rot", "rojo/roja/rojos/rojas"]),
    ("colour.cool", ["blue", "bleu/bleue/bleus/bleues", "blau", "azul/azul/azules/azules"]),
    ("colour.cool", ["green", "vert/verte/verts/vertes", "grün", "verde/verde/verdes/verdes"]),
    (
        "colour.neutral",
        ["white", "blanc/blanche/blancs/blanches", "weiß", "blanco/blanca/blancos/blancas"],
    ),
    (
        "colour.neutral",
        ["black", "noir/noire/noirs/noires", "schwarz", "negro/negra/negros/negras"],
    ),
    (
        "colour.warm",
        ["yellow", "jaune/jaune/jaunes/jaunes", "gelb", "amarillo/amarilla/amarillos/amarillas"],
    ),
    (
        "colour.neutral",
        ["brown", "brun/brune/bruns/brunes", "braun", "marrón/marrón/marrones/marrones"],
    ),
    ("colour.neutral", ["grey", "gris/grise/gris/grises", "grau", "gris/gris/grises/grises"]),
];

/// Concept; third person singular and plural.
pub(super) const VERBS: &[(&str, [&str; 4])] = &[
    ("verb.perception", ["sees/see", "voit/voient", "sieht/sehen", "ve/ven"]),
    ("verb.transfer", ["finds/find", "trouve/trouvent", "findet/finden", "encuentra/encuentran"]),
    ("verb.transfer", ["takes/take", "prend/prennent", "nimmt/nehmen", "toma/toman"]),
    ("verb.transfer", ["carries/carry", "porte/portent", "trägt/tragen", "lleva/llevan"]),
    ("verb.transfer", ["sells/sell", "vend/vendent", "verkauft/verkaufen", "vende/venden"]),
    ("verb.making", ["paints/paint", "peint/peignent", "malt/malen", "pinta/pintan"]),
    ("verb.transfer", ["shows/show", "montre/montrent", "zeigt/zeigen", "muestra/muestran"]),
    ("verb.transfer", ["loses/lose", "perd/perdent", "verliert/verlieren", "pierde/pierden"]),
    ("verb.making", ["draws/draw", "dessine/dessinent", "zeichnet/zeichnen", "dibuja/dibujan"]),
    ("verb.transfer", ["hides/hide", "cache/cachent", "versteckt/verstecken", "esconde/esconden"]),
    ("verb.perception", ["knows/know", "connaît/connaissent", "kennt/kennen", "conoce/conocen"]),
    ("verb.transfer", ["brings/bring", "rapporte/rapportent", "bringt/bringen", "trae/traen"]),
];

/// Concept; the days of the week.
pub(super) const DAYS: &[(&str, [&str; 4])] = &[
    ("weekday.monday", ["monday", "lundi", "Montag", "lunes"]),
    ("weekday.tuesday", ["tuesday", "mardi", "Dienstag", "martes"]),
    ("weekday.wednesday", ["wednesday", "mercredi", "Mittwoch", "miércoles"]),
    ("weekday.thursday", ["thursday", "jeudi", "Donnerstag", "jueves"]),
    ("weekday.friday", ["friday", "vendredi", "Freitag", "viernes"]),
    ("weekday.saturday", ["saturday", "samedi", "Samstag", "sábado"]),
    ("weekday.sunday", ["sunday", "dimanche", "Sonntag", "domingo"]),
];
